/**
 * The only source of time and timers. Components take a Clock so that tests can run them on a clock of their own.
 */
export interface Timer {
  /** Stops the timer; harmless when it has fired. */
  cancel(): void;
}

export interface Clock {
  /** Wall clock, milliseconds since 1970. May jump. */
  now(): number;
  /** Monotonic clock, milliseconds from an arbitrary origin. Use it for every duration. */
  monotonic(): number;
  /** Resolves after `ms`, or at once when `signal` is aborted (it never rejects: look at the signal afterwards). */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** Calls `action` once after `ms`. */
  after(ms: number, action: () => void): Timer;
  /** Calls `action` every `ms` until cancelled. */
  every(ms: number, action: () => void): Timer;
}

function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  if (signal?.aborted === true) return Promise.resolve();
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener('abort', done, { once: true });
  });
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep,
  after(ms, action) {
    const timer = setTimeout(action, ms);
    return {
      cancel: () => {
        clearTimeout(timer);
      },
    };
  },
  every(ms, action) {
    const timer = setInterval(action, ms);
    return {
      cancel: () => {
        clearInterval(timer);
      },
    };
  },
};
