/** What lasts is logged once, and again each minute with how often it happened meanwhile; anything else is news. */
import type { Clock } from '../../foundation/clock.ts';
import { errorCode } from '../../foundation/errors.ts';

export interface Repeats {
  /**
   * How often the same happened since it was logged last, this time included; undefined when it is too early to log it
   * again.
   */
  count(key: string): number | undefined;
  /** It is over: the next time is news. */
  forget(): void;
}

const quietMs = 60_000;
/** n.b. keys come from codes, but a bound costs nothing. */
const maxKeys = 100;

export function createRepeats(clock: Pick<Clock, 'monotonic'>): Repeats {
  const seen = new Map<string, { loggedMs: number; count: number }>();
  return {
    count(key) {
      const nowMs = clock.monotonic();
      const entry = seen.get(key) ?? { loggedMs: Number.NEGATIVE_INFINITY, count: 0 };
      entry.count += 1;
      if (seen.size >= maxKeys && !seen.has(key)) seen.clear();
      seen.set(key, entry);
      if (nowMs - entry.loggedMs < quietMs) return undefined;
      const { count } = entry;
      entry.loggedMs = nowMs;
      entry.count = 0;
      return count;
    },
    forget() {
      seen.clear();
    },
  };
}

/** The codes of an error and its causes, which stay the same when its text does not. */
export function failureKind(thrown: unknown): string {
  const codes: string[] = [];
  for (let current = thrown, depth = 0; current instanceof Error && depth < 5; current = current.cause, depth += 1)
    codes.push(errorCode(current) ?? current.name);
  return codes.join(' ');
}
