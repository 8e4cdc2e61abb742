/**
 * The crashes of one loop, in order of time, then of identity. Kept as the text that is stored: a crash that comes is
 * nearly always the newest, and is added at the end without reading the others. Only what needs them all reads them.
 *
 * A record is `time,detail` or `time,detail,identity`, records are separated by `;`. The time is nanoseconds in
 * decimal; `detail` is a position in the table of details, whose texts repeat from crash to crash, with `!` behind it
 * when the crash was not seen itself. Without an identity it is that of the time.
 */

export interface CrashRecord {
  /**
   * `<task>#<number>`, `<task>#<epoch>.<number>` or `<task>@<time>`. The task is a position in the loop's list of
   * tasks.
   */
  readonly id: string;
  readonly timeUs: number;
  /** Nanoseconds, in decimal. */
  readonly timeNs: string;
  /** JSON object without the time. */
  readonly detail: string;
  /** Not seen itself: it lies between restarts that were. */
  readonly hidden: boolean;
}

/** Details that no crash refers to any more are dropped when there are so many more than crashes. */
const spareDetails = 16;

export class CrashWindow {
  #text: string;
  #size: number;
  #details: string[];
  /** Once they were read: then they hold, and not the text. */
  #records: CrashRecord[] | undefined;

  constructor(
    stored: { readonly text: string; readonly size: number; readonly details: readonly string[] } = {
      text: '',
      size: 0,
      details: [],
    },
  ) {
    this.#text = stored.text;
    this.#size = stored.size;
    this.#details = [...stored.details];
  }

  get size(): number {
    return this.#size;
  }

  /** Oldest first. */
  get records(): readonly CrashRecord[] {
    this.#records ??= this.#read();
    return this.#records;
  }

  /** Time of the newest; -1 when there is none. */
  get newestUs(): number {
    if (this.#records !== undefined) return this.#records.at(-1)?.timeUs ?? -1;
    return this.#size === 0 ? -1 : timeAt(this.#text, this.#text.lastIndexOf(';') + 1);
  }

  get(id: string): CrashRecord | undefined {
    if (this.#records !== undefined) return this.#records.find((record) => record.id === id);
    const at = this.#find(id);
    return at === -1 ? undefined : this.#readAt(at);
  }

  /** Adds the newest crash. It must not be there yet. */
  append(record: CrashRecord): void {
    this.#size += 1;
    if (this.#records !== undefined) this.#records.push(record);
    else this.#text += `${this.#text === '' ? '' : ';'}${this.#write(record)}`;
  }

  /** Adds a crash, or replaces the one with its identity. */
  put(record: CrashRecord): void {
    this.delete(record.id);
    const records = this.#own();
    records.splice(placeOf(records, record), 0, record);
    this.#size = records.length;
  }

  delete(id: string): boolean {
    const records = this.#own();
    const at = records.findIndex((record) => record.id === id);
    if (at === -1) return false;
    records.splice(at, 1);
    this.#size = records.length;
    return true;
  }

  /** Drops what is not newer than `oldestUs`, then the oldest above `cap`. True when something was dropped. */
  trim(oldestUs: number, cap: number): boolean {
    let count = Math.max(0, this.#size - cap);
    if (this.#records !== undefined) {
      while ((this.#records[count]?.timeUs ?? Infinity) <= oldestUs) count += 1;
      this.#records.splice(0, count);
    } else {
      let at = 0;
      for (let skipped = 0; skipped < count; skipped += 1) at = nextAt(this.#text, at);
      while (at < this.#text.length && timeAt(this.#text, at) <= oldestUs) {
        count += 1;
        at = nextAt(this.#text, at);
      }
      this.#text = this.#text.slice(at);
    }
    this.#size -= count;
    return count > 0;
  }

  /** As the constructor takes it. */
  store(): { readonly text: string; readonly size: number; readonly details: readonly string[] } {
    if (this.#records !== undefined || this.#details.length > this.#size + spareDetails) {
      const records = this.records;
      this.#details = [];
      this.#text = records.map((record) => this.#write(record)).join(';');
      this.#records = undefined;
    }
    return { text: this.#text, size: this.#size, details: this.#details };
  }

  /** Where the record of this identity begins in the text; -1: nowhere. */
  #find(id: string): number {
    const text = this.#text;
    const [task = '', time] = id.split('@');
    if (time !== undefined) {
      for (let at = text.indexOf(`${time},`); at !== -1; at = text.indexOf(`${time},`, at + 1)) {
        if ((at === 0 || text[at - 1] === ';') && this.#readAt(at).id === `${task}@${time}`) return at;
      }
    }
    for (let at = text.indexOf(`,${id}`); at !== -1; at = text.indexOf(`,${id}`, at + 1)) {
      const end = at + 1 + id.length;
      if (end === text.length || text[end] === ';') return text.lastIndexOf(';', at) + 1;
    }
    return -1;
  }

  #readAt(at: number): CrashRecord {
    const end = this.#text.indexOf(';', at);
    return this.#readRecord(this.#text.slice(at, end === -1 ? undefined : end));
  }

  #own(): CrashRecord[] {
    this.#records ??= this.#read();
    return this.#records;
  }

  #write({ id, timeNs, detail, hidden }: CrashRecord): string {
    let at = this.#details.indexOf(detail);
    if (at === -1) at = this.#details.push(detail) - 1;
    return `${timeNs},${at}${hidden ? '!' : ''},${id.endsWith(`@${timeNs}`) ? id.slice(0, -timeNs.length) : id}`;
  }

  #read(): CrashRecord[] {
    if (this.#text === '') return [];
    return this.#text.split(';').map((text) => this.#readRecord(text));
  }

  #readRecord(text: string): CrashRecord {
    const [timeNs = '', position = '', id = ''] = text.split(',');
    const detail = this.#details[Number.parseInt(position, 10)] ?? '{}';
    return {
      id: id.endsWith('@') ? `${id}${timeNs}` : id,
      timeNs,
      timeUs: microsecondsOf(timeNs),
      detail,
      hidden: position.endsWith('!'),
    };
  }
}

/** n.b. The sixteen digits that a number holds exactly. */
export function microsecondsOf(timeNs: string): number {
  return Number(timeNs.slice(0, -3));
}

function timeAt(text: string, at: number): number {
  return microsecondsOf(text.slice(at, text.indexOf(',', at)));
}

function nextAt(text: string, at: number): number {
  const end = text.indexOf(';', at);
  return end === -1 ? text.length : end + 1;
}

/** Where the record stands: most come last. */
function placeOf(records: readonly CrashRecord[], record: CrashRecord): number {
  let low = 0;
  let high = records.length;
  const last = records.at(-1);
  if (last !== undefined && isBefore(last, record)) return high;
  while (low < high) {
    const middle = (low + high) >> 1;
    const found = records[middle];
    if (found !== undefined && isBefore(found, record)) low = middle + 1;
    else high = middle;
  }
  return low;
}

function isBefore(a: CrashRecord, b: CrashRecord): boolean {
  return a.timeUs < b.timeUs || (a.timeUs === b.timeUs && a.id < b.id);
}
