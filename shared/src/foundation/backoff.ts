/**
 * Delays between tries: doubling from `minMs` to `maxMs`, with full jitter, so that many clients do not come back at
 * once. Try 1 waits up to minMs, try 2 up to twice that, and so on.
 */
export interface BackoffOptions {
  readonly minMs: number;
  readonly maxMs: number;
  /** 0 to 1; tests give their own. */
  readonly random?: () => number;
}

export interface Backoff {
  /** The next delay, milliseconds. */
  next(): number;
  /** Begin again with the smallest. */
  reset(): void;
}

export function createBackoff({ minMs, maxMs, random = Math.random }: BackoffOptions): Backoff {
  let ceiling = Math.min(minMs, maxMs);
  return {
    next() {
      const delay = Math.round(ceiling * random());
      ceiling = Math.min(maxMs, ceiling * 2);
      return delay;
    },
    reset() {
      ceiling = Math.min(minMs, maxMs);
    },
  };
}
