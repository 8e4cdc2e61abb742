/**
 * `dead-letters list|replay|drop`: looks after what a sink could not deliver. Where the letters lie is the store's to
 * know.
 */
import type { DeadLetterStore, DeadLetterVerdict } from '@hydrant/shared/bus/dead-letter-store';
import type { DeadLetter } from '@hydrant/shared/bus/dead-letters';
import { createLineWriter, type LineWriter } from '@hydrant/shared/runtime/line-writer';
import type { CommandContext } from '@hydrant/shared/runtime/run-service';
import { readDeadLetterRequest, type DeadLetterAction, type DeadLetterRequest } from './request.ts';
import { formatJson, formatTable, toRow, type Row } from './show-letters.ts';

export interface NamedStore {
  /** The subscription's name. */
  readonly queue: string;
  readonly store: DeadLetterStore;
}

export interface DeadLettersOutput {
  readonly out: LineWriter;
  readonly signal: AbortSignal;
}

const done: Readonly<Record<Exclude<DeadLetterAction, 'list'>, string>> = { replay: 'replayed', drop: 'dropped' };
/** Bodies are large: what is shown as JSON is not gathered to the end. */
const linesAtOnce = 100;

/** What the arguments ask for, on stdout. */
export async function withDeadLetterRequest(
  { args, clock, signal }: CommandContext,
  run: (request: DeadLetterRequest, output: DeadLettersOutput) => Promise<void>,
): Promise<void> {
  await run(readDeadLetterRequest(args, clock.now()), { out: createLineWriter(process.stdout), signal });
}

export async function runDeadLetters(
  request: DeadLetterRequest,
  stores: readonly NamedStore[],
  output: DeadLettersOutput,
): Promise<void> {
  let left = request.limit;
  for (const { queue, store } of stores) {
    const { matched, taken } = await sweep(request, left, store, output);
    left -= taken;
    if (!request.isJson) await output.out.write([summarize(request, { queue, matched, taken })]);
    if (output.signal.aborted) break;
  }
}

interface Swept {
  readonly matched: number;
  /** Those of them that the limit let through. */
  readonly taken: number;
}

async function sweep(
  { action, matches, isDryRun, isJson }: DeadLetterRequest,
  limit: number,
  store: DeadLetterStore,
  { out, signal }: DeadLettersOutput,
): Promise<Swept> {
  const verdict: DeadLetterVerdict = isDryRun || action === 'list' ? 'keep' : action;
  const isShown = isDryRun || action === 'list';
  const rows: Row[] = [];
  const lines: string[] = [];
  let matched = 0;
  const decide = (letter: DeadLetter): DeadLetterVerdict => {
    if (!matches(letter)) return 'keep';
    matched += 1;
    if (matched > limit) return 'keep';
    if (isJson) lines.push(formatJson(letter));
    else if (isShown) rows.push(toRow(letter));
    if (lines.length >= linesAtOnce) void out.write(lines.splice(0));
    return verdict;
  };
  await store.sweep(decide, signal);
  await out.write(lines);
  if (rows.length > 0) await out.write(formatTable(rows));
  return { matched, taken: Math.min(matched, limit) };
}

function summarize(
  { action, isDryRun }: DeadLetterRequest,
  { queue, matched, taken }: Swept & { readonly queue: string },
): string {
  const count = `${taken === matched ? '' : `${String(taken)} of `}${String(matched)} dead letter${matched === 1 ? '' : 's'} of ${queue}`;
  if (action === 'list') return count;
  return `${count} ${isDryRun ? 'would be' : taken === 1 ? 'was' : 'were'} ${done[action]}`;
}
