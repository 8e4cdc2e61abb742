/** The log in memory: bounded, gone with the process. */
import type { Message } from '../messages/message.ts';
import { ByteBound } from './byte-bound.ts';
import { spoolUnavailable } from './spool-errors.ts';
import type { Cursor, Spool, SpoolRecord } from './spool.ts';
import { Wakeups } from './wakeups.ts';

export interface MemorySpoolOptions {
  readonly maxBytes: number;
}

interface Entry {
  readonly record: SpoolRecord;
  readonly bytes: number;
  /** Bytes of all records up to and with this one, since the log was made. */
  readonly total: number;
}

/** What a message occupies beside its body, about. */
const overheadBytes = 512;

class MemoryCursor implements Cursor {
  readonly name: string;
  readonly #log: MemorySpool;
  #committed: number;
  #next: number;

  constructor(name: string, committed: number, log: MemorySpool) {
    this.name = name;
    this.#log = log;
    this.#committed = committed;
    this.#next = committed + 1;
  }

  async read(
    limits: { readonly maxRecords: number; readonly maxBytes: number },
    signal: AbortSignal,
  ): Promise<readonly SpoolRecord[]> {
    while (!signal.aborted) {
      this.#log.checkOpen();
      const records = this.#log.recordsFrom(this.#next, limits.maxRecords, limits.maxBytes);
      this.#next = (records.at(-1)?.position ?? this.#next - 1) + 1;
      if (records.length > 0) return records;
      await this.#log.wakeups.wait(signal);
    }
    return [];
  }

  rewind(position: number): void {
    this.#next = Math.max(position, this.#committed + 1);
  }

  commit(position: number): void {
    if (position <= this.#committed) return;
    this.#committed = Math.min(position, this.#log.last);
    this.#next = Math.max(this.#next, this.#committed + 1);
    this.#log.release();
  }

  get committed(): number {
    return this.#committed;
  }

  get lag(): number {
    return this.#log.last - this.#committed;
  }

  get lagBytes(): number {
    return this.#log.bytesAfter(this.#committed);
  }
}

class MemorySpool implements Spool {
  readonly maxBytes: number;
  readonly wakeups = new Wakeups();
  readonly #cursors = new Map<string, MemoryCursor>();
  readonly #bound: ByteBound;
  /** Entries before `#head` are released and `undefined`. */
  #entries: (Entry | undefined)[] = [];
  #head = 0;
  #last = 0;
  #total = 0;
  #isOpen = false;

  constructor({ maxBytes }: MemorySpoolOptions) {
    this.maxBytes = maxBytes;
    this.#bound = new ByteBound({ maxBytes, slowest: () => this.#slowest()?.name ?? null });
  }

  open(): Promise<void> {
    this.#isOpen = true;
    return Promise.resolve();
  }

  append(
    messages: readonly Message[],
    signal?: AbortSignal,
    options: { readonly evenWhenFull?: boolean } = {},
  ): Promise<number> {
    return new Promise((resolve, reject) => {
      this.checkOpen();
      const bytes = messages.reduce((sum, message) => sum + message.body.length + overheadBytes, 0);
      this.#bound.enter(
        bytes,
        {
          admit: () => {
            resolve(this.#keep(messages));
          },
          fail: reject,
          evenWhenFull: options.evenWhenFull === true,
        },
        signal,
      );
    });
  }

  cursor(name: string, options: { readonly from?: 'start' | 'end' } = {}): Cursor {
    const existing = this.#cursors.get(name);
    if (existing !== undefined) return existing;
    const cursor = new MemoryCursor(name, options.from === 'end' ? this.#last : this.#first - 1, this);
    this.#cursors.set(name, cursor);
    return cursor;
  }

  cursors(): readonly Cursor[] {
    return [...this.#cursors.values()];
  }

  removeCursor(name: string): Promise<void> {
    if (this.#cursors.delete(name)) this.release();
    return Promise.resolve();
  }

  get last(): number {
    return this.#last;
  }

  get bytes(): number {
    return this.#bound.held;
  }

  onFull(listener: (slowest: string | null) => void): void {
    this.#bound.onFull(listener);
  }

  close(): Promise<void> {
    this.#isOpen = false;
    this.#bound.refuse(this.#closedError());
    this.wakeups.wake();
    return Promise.resolve();
  }

  checkOpen(): void {
    if (!this.#isOpen) throw this.#closedError();
  }

  recordsFrom(position: number, maxRecords: number, maxBytes: number): SpoolRecord[] {
    const records: SpoolRecord[] = [];
    let bytes = 0;
    for (
      let at = this.#head + position - this.#first;
      at < this.#entries.length && records.length < maxRecords && bytes < maxBytes;
      at += 1
    ) {
      const entry = this.#entries[at];
      if (entry === undefined) continue;
      records.push(entry.record);
      bytes += entry.bytes;
    }
    return records;
  }

  bytesAfter(position: number): number {
    return this.#total - (this.#entries[this.#head + position - this.#first]?.total ?? this.#total - this.bytes);
  }

  /** Drops what every cursor has passed. */
  release(): void {
    const slowest = this.#slowest();
    if (slowest === undefined) return;
    let freed = 0;
    for (let first = this.#first; first <= slowest.committed; first += 1) {
      freed += this.#entries[this.#head]?.bytes ?? 0;
      this.#entries[this.#head] = undefined;
      this.#head += 1;
    }
    if (this.#head > 1024 && this.#head > this.#entries.length / 2) {
      this.#entries = this.#entries.slice(this.#head);
      this.#head = 0;
    }
    if (freed > 0) this.#bound.leave(freed);
  }

  /** Position of the oldest record held, or of the next one. */
  get #first(): number {
    return this.#last - (this.#entries.length - this.#head) + 1;
  }

  #keep(messages: readonly Message[]): number {
    for (const message of messages) {
      const bytes = message.body.length + overheadBytes;
      this.#last += 1;
      this.#total += bytes;
      this.#entries.push({ record: { position: this.#last, message }, bytes, total: this.#total });
    }
    this.wakeups.wake();
    return this.#last;
  }

  #slowest(): MemoryCursor | undefined {
    let slowest: MemoryCursor | undefined;
    for (const cursor of this.#cursors.values()) {
      if (slowest === undefined || cursor.committed < slowest.committed) slowest = cursor;
    }
    return slowest;
  }

  #closedError(): Error {
    return spoolUnavailable('Expected the log in memory to be open; it is closed');
  }
}

/** A log that holds up to `maxBytes` of messages in memory. */
export function createMemorySpool(options: MemorySpoolOptions): Spool {
  return new MemorySpool(options);
}
