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
  #entries: { readonly item: T; readonly bytes: number }[] = [];
  #bytes = 0;
  #timer: Timer | undefined;

  constructor(limits: BatchLimits, clock: Clock, onBatch: (items: readonly T[]) => void) {
    this.#limits = limits;
    this.#clock = clock;
    this.#onBatch = onBatch;
  }

  /** An item that is larger than a whole batch goes alone. */
  add(item: T, bytes: number): void {
    if (this.#entries.length > 0 && this.#bytes + bytes > this.#limits.maxBytes) this.flush();
    this.#entries.push({ item, bytes });
    this.#bytes += bytes;
    if (this.#entries.length === this.#limits.maxEvents || this.#bytes >= this.#limits.maxBytes) this.flush();
    else
      this.#timer ??= this.#clock.after(this.#limits.maxAgeMs, () => {
        this.flush();
      });
  }

  /** Completes the batch as it is; nothing happens when it is empty. */
  flush(): void {
    const items = this.#entries.map(({ item }) => item);
    this.#keep([]);
    if (items.length > 0) this.#onBatch(items);
  }

  /** Takes out of the batch that fills what `isGone`, and gives it. */
  remove(isGone: (item: T) => boolean): readonly T[] {
    const gone = this.#entries.filter(({ item }) => isGone(item));
    if (gone.length > 0) this.#keep(this.#entries.filter(({ item }) => !isGone(item)));
    return gone.map(({ item }) => item);
  }

  #keep(entries: readonly { readonly item: T; readonly bytes: number }[]): void {
    this.#entries = [...entries];
    this.#bytes = entries.reduce((sum, { bytes }) => sum + bytes, 0);
    if (entries.length > 0) return;
    this.#timer?.cancel();
    this.#timer = undefined;
  }
}
