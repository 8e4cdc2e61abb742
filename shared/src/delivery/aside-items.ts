/**
 * Messages that fail alone while others are taken: each waits for its next try without a place of its own. It knows
 * when, not what is tried.
 */
import type { Settlement } from '../bus/bus.ts';
import type { Clock, Timer } from '../foundation/clock.ts';
import type { History, Item } from './deliver-batch.ts';

/** RabbitMQ takes a consumer that holds a message for 30 minutes for a dead one. */
const mostHeldMs = 15 * 60_000;
const handBack: Settlement = { action: 'retry', afterMs: 0 };

export class AsideItems {
  readonly #clock: Clock;
  readonly #onDue: (item: Item, history: History) => void;
  readonly #timers = new Map<Item, Timer>();

  constructor(clock: Clock, onDue: (item: Item, history: History) => void) {
    this.#clock = clock;
    this.#onDue = onDue;
  }

  get size(): number {
    return this.#timers.size;
  }

  add(item: Item, history: History, afterMs: number): void {
    if (this.#clock.monotonic() - history.startedAtMs >= mostHeldMs) {
      item.settle(handBack);
      return;
    }
    this.#timers.set(
      item,
      this.#clock.after(afterMs, () => {
        this.#timers.delete(item);
        this.#onDue(item, history);
      }),
    );
  }

  returnAll(): void {
    for (const [item, timer] of this.#timers) {
      timer.cancel();
      item.settle(handBack);
    }
    this.#timers.clear();
  }
}
