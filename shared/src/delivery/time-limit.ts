/** One try to write, ended by its time limit or by the end of the process. */
import type { Clock } from '../foundation/clock.ts';
import { broken, retryable } from './sink.ts';
import { judge } from './judge-failure.ts';

export interface WriteLimits {
  readonly timeoutMs: number;
  /** Ends the try before its time. */
  readonly giveUp: AbortSignal;
  readonly clock: Clock;
}

/**
 * For the sink to say which messages it had brought out when its signal aborted; whoever ignores the signal holds up
 * nothing for longer.
 */
const graceMs = { timeout: 1000, giveUp: 200 };

/**
 * Resolves and rejects as `write` does; when that was cut off and has no more to say, rejects with the reason for which
 * it was.
 */
export function writeWithin(
  write: (signal: AbortSignal) => Promise<void>,
  { timeoutMs, giveUp, clock }: WriteLimits,
): Promise<void> {
  if (giveUp.aborted) return Promise.reject(stoppedBefore());
  const limit = new AbortController();
  return new Promise((resolve, reject) => {
    let cutOff: Error | undefined;
    let timer = clock.after(timeoutMs, () => {
      cut(
        broken(`Expected the destination to answer within ${String(timeoutMs)} ms (SINK_TIMEOUT), it did not`),
        graceMs.timeout,
      );
    });
    const onGiveUp = (): void => {
      cut(stoppedBefore(), graceMs.giveUp);
    };
    giveUp.addEventListener('abort', onGiveUp, { once: true });

    function cut(reason: Error, waitMs: number): void {
      cutOff ??= reason;
      timer.cancel();
      timer = clock.after(waitMs, () => {
        end(() => {
          reject(reason);
        });
      });
      limit.abort(reason);
    }
    function end(settle: () => void): void {
      timer.cancel();
      giveUp.removeEventListener('abort', onGiveUp);
      settle();
    }
    write(limit.signal).then(
      () => {
        end(resolve);
      },
      (error: unknown) => {
        end(() => {
          reject(cutOff !== undefined && judge(error).kind === 'retry' ? cutOff : (error as Error));
        });
      },
    );
  });
}

function stoppedBefore(): Error {
  return retryable('Expected to hear from the destination before the process stops, did not');
}
