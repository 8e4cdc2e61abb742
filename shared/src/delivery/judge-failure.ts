/** What a failed write means for each message of its batch. Pure: `deliver-batch.ts` acts on it. */
import { describeError, errorCode, isRetryable } from '../foundation/errors.ts';
import type { PartialFailure, SinkPartialError, SinkRetryableError } from './sink.ts';

export type Verdict =
  /** The same batch may work later. */
  | {
      readonly kind: 'retry';
      readonly reason: string;
      readonly afterMs: number | undefined;
      readonly isDoubtful: boolean;
      readonly isBroken?: true;
    }
  /** The same batch will be refused again. */
  | { readonly kind: 'refused'; readonly reason: string }
  /** What is not listed was taken. */
  | {
      readonly kind: 'partial';
      readonly reason: string;
      readonly afterMs: number | undefined;
      readonly isDoubtful: boolean;
      readonly failures: readonly PartialFailure[];
    };

/**
 * Longer than any destination has reason to ask for, and short enough that no message is held near RabbitMQ's limit of
 * 30 minutes.
 */
const mostAfterMs = 10 * 60_000;

export function judge(error: unknown): Verdict {
  if (isPartial(error)) {
    const reason = (error.failures.find((failure) => failure.retryable) ?? error.failures[0])?.reason ?? error.message;
    const isDoubtful = error.failures.some((failure) => failure.retryable && failure.isDoubtful === true);
    return { kind: 'partial', reason, afterMs: bound(error.retryAfterMs), isDoubtful, failures: error.failures };
  }
  const reason = describeError(error);
  if (!isRetryable(error)) return { kind: 'refused', reason };
  const isBroken = isBrokenOff(error) ? ({ isBroken: true } as const) : {};
  return isSinkRetryable(error)
    ? { kind: 'retry', reason, afterMs: bound(error.retryAfterMs), isDoubtful: error.isDoubtful, ...isBroken }
    : { kind: 'retry', reason, afterMs: undefined, isDoubtful: false, ...isBroken };
}

/** Of a connection that was there and ended. n.b. one that is refused or cannot be made has other codes. */
const brokenCodes = new Set([
  'ECONNRESET',
  'EPIPE',
  'ECONNABORTED',
  'HPE_INVALID_EOF_STATE',
  'ERR_STREAM_PREMATURE_CLOSE',
]);
const mostCauses = 5;

/** Whether the connection was there and ended before there was an answer. */
export function isBrokenOff(error: unknown): boolean {
  if (isSinkRetryable(error) && error.isBroken) return true;
  let current = error;
  for (let depth = 0; depth < mostCauses && current !== undefined && current !== null; depth += 1) {
    if (brokenCodes.has(errorCode(current) ?? '')) return true;
    current = current instanceof Error ? current.cause : undefined;
  }
  return false;
}

function isPartial(error: unknown): error is SinkPartialError {
  return errorCode(error) === 'sink-partial';
}

function isSinkRetryable(error: unknown): error is SinkRetryableError {
  return errorCode(error) === 'sink-retryable';
}

function bound(afterMs: number | undefined): number | undefined {
  return afterMs === undefined ? undefined : Math.min(mostAfterMs, afterMs);
}
