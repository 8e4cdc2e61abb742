/**
 * Notices that nothing has come for too long: Nomad sends a heartbeat every 30 s, so longer silence means a dead
 * connection.
 */
import type { Clock } from '@hydrant/shared/foundation/clock';

export interface LivenessWatch {
  /** Something came. */
  touch(): void;
  /** We are not reading: silence proves nothing until `resume`. */
  pause(): void;
  resume(): void;
  end(): void;
  /** Since something came last. */
  readonly quietMs: number;
}

const looksPerLimit = 10;

/** Calls `onSilence` once when `limitMs` have passed without `touch`. */
export function watchLiveness(clock: Clock, limitMs: number, onSilence: () => void): LivenessWatch {
  let lastMs = clock.monotonic();
  let isPaused = false;
  // Looked at from time to time instead of a timer per chunk of bytes.
  const timer = clock.every(limitMs / looksPerLimit, () => {
    if (isPaused || clock.monotonic() - lastMs < limitMs) return;
    timer.cancel();
    onSilence();
  });
  return {
    touch: () => {
      lastMs = clock.monotonic();
    },
    pause: () => {
      isPaused = true;
    },
    resume: () => {
      isPaused = false;
      lastMs = clock.monotonic();
    },
    end: () => {
      timer.cancel();
    },
    get quietMs() {
      return clock.monotonic() - lastMs;
    },
  };
}
