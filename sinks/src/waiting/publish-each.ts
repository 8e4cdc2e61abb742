/**
 * For destinations that answer for each message by itself: sends the messages of a batch, and says entry by entry which
 * were not taken.
 */
import { partial, type Batch, type PartialFailure } from '@hydrant/shared/delivery/sink';
import { describeError, isRetryable } from '@hydrant/shared/foundation/errors';
import type { Message } from '@hydrant/shared/messages/message';
import { unlessAborted } from './unless-aborted.ts';

export type Refusal = Omit<PartialFailure, 'index'>;

export interface PublishEachOptions {
  /** Undefined: taken. What it rejects with is said of that message. */
  readonly publish: (message: Message) => Promise<Refusal | undefined>;
  /** Messages that wait for their answer at once. */
  readonly mostInFlight: number;
  /** What to say of those that have no answer when `signal` aborts. */
  readonly silence: string;
  readonly signal: AbortSignal;
}

function toRefusal(error: unknown): Refusal {
  return { reason: describeError(error), retryable: isRetryable(error) };
}

/** Begins them in the order of the batch. Resolves when all were taken; otherwise throws what `partial` makes. */
export async function publishEach(
  batch: Batch,
  { publish, mostInFlight, silence, signal }: PublishEachOptions,
): Promise<void> {
  const answers = new Map<number, Refusal | undefined>();
  const rest = batch.entries();
  const publishRest = async (): Promise<void> => {
    for (const [index, message] of rest) {
      answers.set(index, await publish(message).catch(toRefusal));
      if (signal.aborted) return;
    }
  };
  const publishing = Promise.all(Array.from({ length: Math.min(mostInFlight, batch.length) }, publishRest));
  // Who has no answer by then is told of below.
  await unlessAborted(publishing, signal, silence).catch(() => undefined);
  const silent: Refusal = { reason: silence, retryable: true };
  const failures = batch.flatMap((_message, index): PartialFailure[] => {
    const refusal = answers.has(index) ? answers.get(index) : silent;
    return refusal === undefined ? [] : [{ index, ...refusal }];
  });
  const [first] = failures;
  if (first !== undefined)
    throw partial(
      `${String(failures.length)} of ${String(batch.length)} messages were not taken: ${first.reason}`,
      failures,
    );
}
