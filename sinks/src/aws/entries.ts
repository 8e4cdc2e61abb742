/** Brings the messages of a batch into calls of limited size and keeps account of what was taken, entry by entry. */
import { partial, retryable, type PartialFailure } from '@hydrant/shared/delivery/sink';
import { describeError, isRetryable } from '@hydrant/shared/foundation/errors';

export interface Entry<E> {
  /** Position in the batch. */
  readonly index: number;
  readonly value: E;
  /** As the service counts them. */
  readonly bytes: number;
}

export interface EntryLimits {
  readonly maxEntries: number;
  /** Of a call. */
  readonly maxBytes: number;
  readonly maxEntryBytes: number;
}

/** An entry of a call that was not taken; `position` counts within the call. */
export interface EntryFailure {
  readonly position: number;
  readonly reason: string;
  readonly retryable: boolean;
}

/** In order, each within the limits. */
export function makeCalls<E>(
  entries: readonly Entry<E>[],
  { maxEntries, maxBytes }: EntryLimits,
): readonly (readonly Entry<E>[])[] {
  const calls: Entry<E>[][] = [];
  let bytes = 0;
  for (const entry of entries) {
    const last = calls.at(-1);
    if (last === undefined || last.length === maxEntries || bytes + entry.bytes > maxBytes) {
      calls.push([entry]);
      bytes = entry.bytes;
    } else {
      last.push(entry);
      bytes += entry.bytes;
    }
  }
  return calls;
}

/**
 * Sends one call after the other, which keeps the order; what is too large is not sent. `send` gives the entries that
 * were not taken, and throws when the whole call failed; a call that may work later ends the round. Throws a partial
 * failure that names what was not taken, or the error of `send` when there was but one call.
 */
export async function sendEntries<E>(
  entries: readonly Entry<E>[],
  limits: EntryLimits,
  send: (values: readonly E[]) => Promise<readonly EntryFailure[]>,
): Promise<void> {
  const failures: PartialFailure[] = entries
    .filter(({ bytes }) => bytes > limits.maxEntryBytes)
    .map(({ index, bytes }) => ({
      index,
      reason: `Expected a message of at most ${String(limits.maxEntryBytes)} bytes, got ${String(bytes)}`,
      retryable: false,
    }));
  const calls = makeCalls(
    entries.filter(({ bytes }) => bytes <= limits.maxEntryBytes),
    limits,
  );
  for (const [number, call] of calls.entries()) {
    try {
      const failed = await send(call.map(({ value }) => value));
      for (const { position, reason, retryable: isWorthIt } of failed)
        failures.push({ index: call[position]?.index ?? -1, reason, retryable: isWorthIt });
    } catch (error) {
      if (calls.length === 1 && failures.length === 0) throw error;
      // Of a call that is refused as a whole the culprit is found when it comes again alone.
      const reason = describeError(error);
      const rest = isRetryable(error) ? calls.slice(number).flat() : call;
      for (const { index } of rest) failures.push({ index, reason, retryable: isRetryable(error) || call.length > 1 });
      if (isRetryable(error)) break;
    }
  }
  if (failures.length === 0) return;
  const [first] = failures;
  if (failures.length === entries.length && failures.every((failure) => failure.retryable))
    throw retryable(first?.reason ?? '');
  throw partial(
    `${String(failures.length)} of ${String(entries.length)} messages were not taken: ${first?.reason ?? ''}`,
    failures,
  );
}
