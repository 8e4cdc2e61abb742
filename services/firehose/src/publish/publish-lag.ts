/**
 * For how long the oldest event that is not confirmed has been waiting, told from indexes: good to one frame, and cheap
 * enough for every event.
 */
import type { Clock } from '@hydrant/shared/foundation/clock';

interface Read {
  readonly index: number;
  readonly atMs: number;
}

/** Above it every second one is forgotten: the age of the oldest stays right. */
const maxRemembered = 1024;

export class PublishLag {
  readonly #clock: Pick<Clock, 'monotonic'>;
  /** Oldest first, by index. */
  #reads: Read[] = [];

  constructor(clock: Pick<Clock, 'monotonic'>) {
    this.#clock = clock;
  }

  /** Frames up to `index` were read. */
  read(index: number): void {
    const last = this.#reads.at(-1);
    if (last !== undefined && last.index === index) return;
    // A rebuilt cluster counts from the beginning.
    if (last !== undefined && last.index > index) this.#reads = [];
    this.#reads.push({ index, atMs: this.#clock.monotonic() });
    if (this.#reads.length > maxRemembered) this.#reads = this.#reads.filter((_read, at) => at % 2 === 0);
  }

  confirmed(index: number): void {
    for (let [first] = this.#reads; first !== undefined && first.index <= index; [first] = this.#reads)
      this.#reads.shift();
  }

  /** `pending`: events that are not confirmed, as who keeps them counts. */
  seconds(pending: number): number {
    if (pending === 0) this.#reads = [];
    const [oldest] = this.#reads;
    return oldest === undefined ? 0 : (this.#clock.monotonic() - oldest.atMs) / 1000;
  }
}
