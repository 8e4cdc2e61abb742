/**
 * Which deliveries of one channel are settled and not yet acknowledged. A grouped acknowledgement covers every older
 * delivery too, so it may reach only up to the oldest unsettled one; what is settled beyond that is acknowledged one by
 * one.
 */
export interface Acknowledgements {
  /** Acknowledge this delivery tag and all before it. */
  readonly upTo: number | undefined;
  /** Acknowledge these alone. */
  readonly single: readonly number[];
}

export class AckWindow {
  /** Tag and time, in the order of delivery: tags count up from 1 on each channel. */
  readonly #unsettled = new Map<number, number>();
  #settled: number[] = [];

  deliver(tag: number, atMs: number): void {
    this.#unsettled.set(tag, atMs);
  }

  /** When the oldest unsettled one was delivered. */
  get oldestAtMs(): number | undefined {
    for (const atMs of this.#unsettled.values()) return atMs;
    return undefined;
  }

  /** To be acknowledged with the next `take`. */
  settle(tag: number): void {
    if (this.#unsettled.delete(tag)) this.#settled.push(tag);
  }

  /** Given back to the queue: nothing to acknowledge. */
  forget(tag: number): void {
    this.#unsettled.delete(tag);
  }

  /** What is to be acknowledged now; afterwards it counts as done. */
  take(): Acknowledgements {
    const settled = this.#settled;
    this.#settled = [];
    const oldest = this.#oldestUnsettled();
    let upTo: number | undefined;
    const single: number[] = [];
    for (const tag of settled) {
      if (tag > oldest) single.push(tag);
      else if (upTo === undefined || tag > upTo) upTo = tag;
    }
    return { upTo, single };
  }

  #oldestUnsettled(): number {
    for (const tag of this.#unsettled.keys()) return tag;
    return Number.POSITIVE_INFINITY;
  }
}
