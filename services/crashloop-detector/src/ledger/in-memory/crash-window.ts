/** The crashes of one loop by identity, kept in order of time, then of identity, as a sorted set of Redis keeps them. */

export interface CrashRecord {
  readonly id: string;
  readonly timeUs: number;
  readonly detail: string;
  /** Not seen itself: it lies between restarts that were. */
  readonly hidden: boolean;
}

export class CrashWindow {
  readonly #byId = new Map<string, CrashRecord>();
  readonly #inOrder: CrashRecord[] = [];

  constructor(records: Iterable<CrashRecord> = []) {
    for (const record of records) this.put(record);
  }

  get size(): number {
    return this.#inOrder.length;
  }

  /** Oldest first. */
  get records(): readonly CrashRecord[] {
    return this.#inOrder;
  }

  get(id: string): CrashRecord | undefined {
    return this.#byId.get(id);
  }

  put(record: CrashRecord): void {
    this.delete(record.id);
    this.#byId.set(record.id, record);
    this.#inOrder.splice(this.#placeOf(record), 0, record);
  }

  delete(id: string): boolean {
    const record = this.#byId.get(id);
    if (record === undefined) return false;
    this.#byId.delete(id);
    this.#inOrder.splice(this.#placeOf(record), 1);
    return true;
  }

  /** Drops what is not newer than `oldestUs`, then the oldest above `cap`. */
  trim(oldestUs: number, cap: number): void {
    let count = Math.max(0, this.#inOrder.length - cap);
    while ((this.#inOrder[count]?.timeUs ?? Infinity) <= oldestUs) count += 1;
    for (const { id } of this.#inOrder.splice(0, count)) this.#byId.delete(id);
  }

  /** Where the record stands, or would: most come last. */
  #placeOf(record: CrashRecord): number {
    let low = 0;
    let high = this.#inOrder.length;
    const last = this.#inOrder.at(-1);
    if (last !== undefined && isBefore(last, record)) return high;
    while (low < high) {
      const middle = (low + high) >> 1;
      const found = this.#inOrder[middle];
      if (found !== undefined && isBefore(found, record)) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function isBefore(a: CrashRecord, b: CrashRecord): boolean {
  return a.timeUs < b.timeUs || (a.timeUs === b.timeUs && a.id < b.id);
}
