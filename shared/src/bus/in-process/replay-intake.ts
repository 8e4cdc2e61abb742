/**
 * Takes in what a command has put beside the dead letters of a subscription to be handed out again. Looks for it as
 * long as the bus runs.
 */
import { access, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Clock } from '../../foundation/clock.ts';
import { toError } from '../../foundation/errors.ts';
import type { Message } from '../../messages/message.ts';
import type { Logger } from '../../runtime/telemetry/logger.ts';
import { syncFolder } from '../../spool/folder/atomic-file.ts';
import { parseDeadLetter, readLines, withDeadLetterLock } from './dead-letter-lines.ts';
import { replayPath } from './dead-letter-paths.ts';

export interface ReplayIntakePorts {
  readonly deadLetterDir: string;
  /** Names of those that can get what is replayed. */
  readonly subscriptions: () => Iterable<string>;
  readonly publish: (message: Message) => Promise<unknown>;
  readonly log: Logger;
  readonly clock: Clock;
}

const lookEveryMs = 1_000;
const publishAtOnce = 500;

/** Resolves when `signal` has aborted and nothing is under way. */
export async function takeInReplays(ports: ReplayIntakePorts, signal: AbortSignal): Promise<void> {
  const { deadLetterDir, subscriptions, log, clock } = ports;
  while (!signal.aborted) {
    for (const subscription of [...subscriptions()]) {
      try {
        await takeIn(replayPath(deadLetterDir, subscription), ports);
      } catch (thrown) {
        if (!signal.aborted)
          log.warn(
            { err: toError(thrown), subscription },
            'Dead letters to be replayed could not be taken in, will retry',
          );
      }
    }
    await clock.sleep(lookEveryMs, signal);
  }
}

/** What is taken in has a name of its own until all of it is in the log: a crash before that takes it in once more. */
async function takeIn(path: string, { publish, log, clock }: ReplayIntakePorts): Promise<void> {
  const taken = `${path}ing`;
  if (!(await exists(taken))) {
    if (!(await exists(path))) return;
    await withDeadLetterLock(dirname(path), clock, () => rename(path, taken));
  }
  let messages: Message[] = [];
  let count = 0;
  const flush = async (): Promise<void> => {
    await Promise.all(messages.map((message) => publish(message)));
    count += messages.length;
    messages = [];
  };
  for await (const line of readLines(taken)) {
    const message = parseDeadLetter(line.toString('utf8'));
    if (message !== undefined) messages.push(message);
    if (messages.length >= publishAtOnce) await flush();
  }
  await flush();
  await rm(taken);
  await syncFolder(dirname(path));
  log.info({ count, file: path }, 'Dead letters are handed out again');
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
