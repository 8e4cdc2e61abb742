/**
 * Collects items into batches by count, encoded bytes and age. It decides when a batch is complete and nothing else.
 */
import type { Clock, Timer } from '../foundation/clock.ts';

export interface BatchLimits {
  /** Null: no limit by count. */
  readonly maxEvents: number | null;
  readonly maxBytes: number;
  /** Longest time the first item of a batch waits for the others. */
  readonly maxAgeMs: number;
}

export class Batcher<T> {
  readonly #limits: BatchLimits;
  readonly #clock: Clock;
  readonly #onBatch: (items: readonly T[]) => void;
  #items: T[] = [];
  #bytes = 0;
  #timer: Timer | undefined;

  constructor(limits: BatchLimits, clock: Clock, onBatch: (items: readonly T[]) => void) {
    this.#limits = limits;
    this.#clock = clock;
    this.#onBatch = onBatch;
  }

  /** An item that is larger than a whole batch goes alone. */
  add(item: T, bytes: number): void {
    if (this.#items.length > 0 && this.#bytes + bytes > this.#limits.maxBytes) this.flush();
    this.#items.push(item);
    this.#bytes += bytes;
    if (this.#items.length === this.#limits.maxEvents || this.#bytes >= this.#limits.maxBytes) this.flush();
    else this.#timer ??= this.#clock.after(this.#limits.maxAgeMs, () => { this.flush(); });
  }

  /** Completes the batch as it is; nothing happens when it is empty. */
  flush(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    if (this.#items.length === 0) return;
    const items = this.#items;
    this.#items = [];
    this.#bytes = 0;
    this.#onBatch(items);
  }
}
