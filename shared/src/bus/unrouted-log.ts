/**
 * Messages that no queue took: said at once, then once a minute at most with how many there were. One event in a busy
 * stream would be one line each otherwise.
 */
import type { Clock } from '../foundation/clock.ts';

export interface UnroutedFacts {
  /** Of the newest. */
  readonly routingKey: string;
  /** Since this was said last. */
  readonly messages: number;
}

export interface UnroutedLog {
  note(routingKey: string): void;
}

const quietMs = 60_000;

/** `say` writes the line. */
export function createUnroutedLog(clock: Pick<Clock, 'monotonic'>, say: (facts: UnroutedFacts) => void): UnroutedLog {
  let saidMs = Number.NEGATIVE_INFINITY;
  let messages = 0;
  return {
    note(routingKey) {
      messages += 1;
      const nowMs = clock.monotonic();
      if (nowMs - saidMs < quietMs) return;
      say({ routingKey, messages });
      saidMs = nowMs;
      messages = 0;
    },
  };
}
