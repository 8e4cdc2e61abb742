/** Notices that a destination has been down for long: it failed, and nothing went well since. Decides nothing else. */
import type { Clock, Timer } from '../foundation/clock.ts';

export interface Outage {
  readonly reason: string;
  readonly downMs: number;
}

export class OutageWatch {
  readonly #limitMs: number;
  readonly #clock: Clock;
  #timer: Timer | undefined;
  #sinceMs = 0;
  #reason = '';
  #isLasting = false;
  #wake: () => void = () => undefined;

  constructor(limitMs: number, clock: Clock) {
    this.#limitMs = limitMs;
    this.#clock = clock;
  }

  failed(reason: string): void {
    this.#reason = reason;
    if (this.#timer !== undefined) return;
    this.#sinceMs = this.#clock.monotonic();
    this.#timer = this.#clock.after(this.#limitMs, () => {
      this.#isLasting = true;
      this.#wake();
    });
  }

  /** Something went well, or a new try begins. */
  clear(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#isLasting = false;
  }

  /** Resolves when an outage has lasted too long; with undefined when `signal` aborts before. One caller at a time. */
  async whenLasting(signal: AbortSignal): Promise<Outage | undefined> {
    while (!this.#isLasting && !signal.aborted) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        signal.addEventListener(
          'abort',
          () => {
            resolve();
          },
          { once: true },
        );
      });
    }
    return this.#isLasting && !signal.aborted
      ? { reason: this.#reason, downMs: this.#clock.monotonic() - this.#sinceMs }
      : undefined;
  }
}
