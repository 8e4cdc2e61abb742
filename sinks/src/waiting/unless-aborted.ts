/** For clients that take no AbortSignal: gives up waiting, while what was begun goes its way. */
import { retryable } from '@hydrant/shared/delivery/sink';

/** As `promise`, but rejects (retryable, with `problem` as its text) as soon as `signal` aborts. */
export async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal, problem: string): Promise<T> {
  let onAbort = (): void => undefined;
  const aborted = new Promise<never>((_resolve, reject) => {
    onAbort = () => {
      reject(retryable(problem));
    };
  });
  if (signal.aborted) onAbort();
  signal.addEventListener('abort', onAbort, { once: true });
  // Nobody hears of how it ends after that.
  promise.catch(() => undefined);
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
