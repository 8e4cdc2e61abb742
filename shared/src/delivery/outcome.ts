/** What a failed write means for each message of its batch. Pure: `deliver-batch.ts` acts on it. */
import { describeError, isRetryable } from '../foundation/errors.ts';
import { SinkPartialError, SinkRetryableError, type PartialFailure } from './sink.ts';

export type Verdict =
  /** The same batch may work later. */
  | { readonly kind: 'retry'; readonly afterMs: number | undefined; readonly reason: string }
  /** The same batch will be refused again. */
  | { readonly kind: 'refused'; readonly reason: string }
  /** What is not listed was taken. */
  | { readonly kind: 'partial'; readonly failures: readonly PartialFailure[] };

export function judge(error: unknown): Verdict {
  if (error instanceof SinkPartialError) return { kind: 'partial', failures: error.failures };
  const reason = describeError(error);
  if (!isRetryable(error)) return { kind: 'refused', reason };
  return { kind: 'retry', afterMs: error instanceof SinkRetryableError ? error.retryAfterMs : undefined, reason };
}
