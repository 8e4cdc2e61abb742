/** A batch of which each message is a request of its own. */
import { partial, type Batch, type PartialFailure, type retryable } from '@hydrant/shared/delivery/sink';
import { describeError, errorCode, isRetryable } from '@hydrant/shared/foundation/errors';
import type { Message } from '@hydrant/shared/messages/message';

/**
 * One after the other, which keeps the order; the first that has to be tried again ends the round. A single message
 * fails with its own error, of several the error names those that were not taken.
 */
export async function sendEach(batch: Batch, send: (message: Message) => Promise<void>): Promise<void> {
  const [only] = batch;
  if (batch.length === 1 && only !== undefined) {
    await send(only);
    return;
  }
  const failures: PartialFailure[] = [];
  let afterMs: number | undefined;
  for (const [index, message] of batch.entries()) {
    try {
      await send(message);
    } catch (error) {
      const reason = describeError(error);
      const asked = errorCode(error) === 'sink-retryable' ? (error as ReturnType<typeof retryable>) : undefined;
      failures.push({
        index,
        reason,
        retryable: isRetryable(error),
        ...(asked?.isDoubtful === true ? { isDoubtful: true } : {}),
      });
      if (!isRetryable(error)) continue;
      afterMs = asked?.retryAfterMs;
      for (let rest = index + 1; rest < batch.length; rest += 1)
        failures.push({ index: rest, reason, retryable: true });
      break;
    }
  }
  if (failures.length > 0)
    throw partial(`${String(failures.length)} of ${String(batch.length)} messages were not taken`, failures, afterMs);
}
