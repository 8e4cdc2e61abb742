/** Waits for a condition with a limit: what tests do where others would sleep. */
import { setTimeout as sleep } from 'node:timers/promises';

export interface EventuallyOptions {
  /** Default 10 s. */
  readonly timeoutMs?: number;
  /** What was waited for, for the error. */
  readonly message?: string;
}

type Falsy = undefined | null | false | 0 | '';

/**
 * Calls `check` again and again until it gives something truthy, and resolves with that. What it throws counts as "not
 * yet" and becomes the cause of the error when time is up.
 */
export async function eventually<T>(
  check: () => T | Promise<T>,
  options: EventuallyOptions = {},
): Promise<Exclude<T, Falsy>> {
  const timeoutMs = options.timeoutMs ?? 10_000;
  const limit = Date.now() + timeoutMs;
  let pauseMs = 2;
  for (;;) {
    let last: unknown;
    let cause: unknown;
    try {
      last = await check();
      if (isTruthy(last)) return last as Exclude<T, Falsy>;
    } catch (thrown) {
      cause = thrown;
    }
    if (Date.now() >= limit) throw timedOut(timeoutMs, options.message, last, cause);
    await sleep(pauseMs);
    pauseMs = Math.min(pauseMs * 1.5, 50);
  }
}

function isTruthy(value: unknown): boolean {
  return Boolean(value);
}

function timedOut(timeoutMs: number, message: string | undefined, last: unknown, cause: unknown): Error {
  const what = message ?? 'the check to give something truthy';
  const reason = cause instanceof Error ? `it last threw: ${cause.message}` : `it last gave ${String(last)}`;
  return new Error(`Expected ${what} within ${timeoutMs} ms, ${reason}`, cause === undefined ? undefined : { cause });
}
