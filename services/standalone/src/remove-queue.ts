/** `hydrant remove-queue`: for a sink that was taken out of the settings, whose queue the log would go on keeping. */
import { deadLetterPath } from '@hydrant/shared/bus/in-process/dead-letter-paths';
import { readLines } from '@hydrant/shared/bus/in-process/dead-letter-lines';
import { askForRemoval, isAskedFor } from '@hydrant/shared/bus/in-process/queue-removals';
import type { Clock } from '@hydrant/shared/foundation/clock';
import { HydrantError } from '@hydrant/shared/foundation/errors';
import type { LineWriter } from '@hydrant/shared/runtime/line-writer';
import { lookAtCursors, type CursorState } from '@hydrant/shared/spool/folder/look-at-cursors';
import type { RemovalRequest } from '@hydrant/sink-worker/remove-queue';

export interface LogPlaces {
  readonly logDir: string;
  readonly deadLetterDir: string;
  /** Queues that the settings have a reader for. */
  readonly readers: readonly string[];
}

export interface RemovalPorts {
  readonly out: LineWriter;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** A running process looks once a second. */
const answerWithinMs = 5_000;
const pollMs = 100;

/** The queues of the log that the settings have no reader for. */
export async function findUnread({
  logDir,
  readers,
}: Pick<LogPlaces, 'logDir' | 'readers'>): Promise<readonly CursorState[]> {
  return (await lookAtCursors(logDir)).filter(({ name }) => !readers.includes(name));
}

export function describeUnread({ records, bytes }: CursorState): string {
  return `holds ${count(records, 'unread message')} (${(bytes / 1e6).toFixed(1)} MB of the log)`;
}

/** Throws `arguments-invalid`, `queue-in-use`, `queue-missing`. */
export async function removeLogQueue(
  { queue, isForced }: RemovalRequest,
  places: LogPlaces,
  { out, clock, signal }: RemovalPorts,
): Promise<void> {
  const unread = await findUnread(places);
  const name = checkName(queue, unread, places);
  const state = unread.find((each) => each.name === name) ?? { name, records: 0, bytes: 0 };
  const letters = await countLines(deadLetterPath(places.deadLetterDir, name));
  const held = `${describeUnread(state)} and ${count(letters, 'dead letter')}`;
  await out.write([`${name} ${held}`]);
  if ((state.records > 0 || letters > 0) && !isForced) {
    throw fault(
      'queue-in-use',
      `Expected a queue that nobody needs, but "${name}" ${held}; \`--force\` removes it with all that is in it`,
    );
  }
  await askForRemoval(places.deadLetterDir, name);
  const isAnswered = await waitForAnswer(places.deadLetterDir, name, { clock, signal });
  if (!isAnswered) {
    await out.write([`No Hydrant runs on this folder: ${name} is removed when it starts`]);
    return;
  }
  if ((await lookAtCursors(places.logDir)).some((each) => each.name === name)) {
    throw fault(
      'queue-in-use',
      `Expected the running Hydrant to have no reader of "${name}", but it has, since it was started with other settings than these; restart it and run this again`,
    );
  }
  await out.write([`${name} is removed`]);
}

function checkName(name: string | null, unread: readonly CursorState[], { logDir, readers }: LogPlaces): string {
  const choice = unread.length === 0 ? 'there is none' : unread.map((each) => each.name).join(', ');
  if (name === null)
    throw fault(
      'arguments-invalid',
      `Expected \`--queue\` to name a queue that no sink reads (${choice}), it is not given`,
    );
  if (readers.includes(name))
    throw fault(
      'queue-in-use',
      `Expected a queue that nobody needs, but these settings have a reader of "${name}"; take its sink out, restart Hydrant, and run this again`,
    );
  if (!unread.some((each) => each.name === name))
    throw fault(
      'queue-missing',
      `Expected the log in ${logDir} to have a queue "${name}" that no sink reads, of those ${choice}`,
    );
  return name;
}

async function waitForAnswer(
  deadLetterDir: string,
  name: string,
  { clock, signal }: Pick<RemovalPorts, 'clock' | 'signal'>,
): Promise<boolean> {
  const until = clock.monotonic() + answerWithinMs;
  while (!signal.aborted && clock.monotonic() < until) {
    if (!(await isAskedFor(deadLetterDir, name))) return true;
    await clock.sleep(pollMs, signal);
  }
  return !(await isAskedFor(deadLetterDir, name));
}

async function countLines(path: string): Promise<number> {
  const lines = readLines(path);
  let number = 0;
  while ((await lines.next()).done !== true) number += 1;
  return number;
}

function count(number: number, noun: string): string {
  return `${String(number)} ${noun}${number === 1 ? '' : 's'}`;
}

function fault(code: 'arguments-invalid' | 'queue-in-use' | 'queue-missing', message: string): HydrantError {
  return new HydrantError(message, { code, retryable: false });
}
