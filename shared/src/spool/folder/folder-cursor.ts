/** A named place in the log on disk. Reads on from there and remembers up to where all is done with. */
import { toError } from '../../foundation/errors.ts';
import type { Logger } from '../../runtime/telemetry/logger.ts';
import type { RecentRecords } from './recent-records.ts';
import { SegmentReader, type Damage } from './segment-reader.ts';
import { bytesAfter, type Segment } from './segments.ts';
import type { Cursor, SpoolRecord } from '../spool.ts';
import type { Wakeups } from '../wakeups.ts';

export interface FolderCursorPorts {
  readonly log: Logger;
  readonly segments: readonly Segment[];
  readonly recent: RecentRecords;
  readonly wakeups: Wakeups;
  /** Throws when the log is closed. */
  checkOpen(): void;
  /** Called after `committed` rose. */
  moved(committed: number): void;
  /** Called with bytes that the cursor came by and that are no record. */
  damaged(damage: Damage): void;
  /** Called with positions that the cursor would read next and that nothing has. */
  missing(range: { readonly from: number; readonly to: number; readonly file: string }): void;
}

interface Reading {
  readonly segment: Segment;
  readonly reader: SegmentReader;
}

export class FolderCursor implements Cursor {
  readonly name: string;
  readonly #ports: FolderCursorPorts;
  #committed: number;
  /** Position of the next record to hand out. Whoever changes it need not care about `#reading`: that follows. */
  #next: number;
  #reading: Reading | undefined;
  /** `#reading` is in use, and whoever uses it looks afterwards whether its segment is still there. */
  #isLoading = false;
  /** Positions that were passed and that nothing has, behind what is committed, in order. */
  readonly #lost: { readonly from: number; readonly to: number }[] = [];
  #lastRead: Promise<unknown> = Promise.resolve();

  constructor(name: string, committed: number, ports: FolderCursorPorts) {
    this.name = name;
    this.#ports = ports;
    this.#committed = committed;
    this.#next = committed + 1;
  }

  read(
    limits: { readonly maxRecords: number; readonly maxBytes: number },
    signal: AbortSignal,
  ): Promise<readonly SpoolRecord[]> {
    const read = this.#read(limits, signal);
    this.#lastRead = read.catch(() => undefined);
    return read;
  }

  rewind(position: number): void {
    this.#next = Math.max(position, this.#committed + 1);
    this.#lost.length = 0;
  }

  commit(position: number): void {
    const committed = Math.min(position, this.#last);
    if (committed <= this.#committed) return;
    this.#committed = committed;
    this.#next = Math.max(this.#next, committed + 1);
    this.#ports.moved(committed);
    this.#passLost();
  }

  get committed(): number {
    return this.#committed;
  }

  get lag(): number {
    return Math.max(0, this.#last - this.#committed);
  }

  get lagBytes(): number {
    return bytesAfter(this.#ports.segments, this.#committed);
  }

  /** Closes the file of a segment that the log has given up: as long as it is open, its space stays taken. */
  async leaveRemoved(): Promise<void> {
    if (!this.#isLoading && this.#isInRemoved) await this.#dropReader();
  }

  /** Ends the file access; the log is closed before, so that a waiting `read` has been woken. */
  async close(): Promise<void> {
    await this.#lastRead;
    await this.#dropReader();
  }

  get #isInRemoved(): boolean {
    return this.#reading !== undefined && !this.#ports.segments.includes(this.#reading.segment);
  }

  get #last(): number {
    return this.#ports.segments.at(-1)?.last ?? 0;
  }

  async #read(
    limits: { readonly maxRecords: number; readonly maxBytes: number },
    signal: AbortSignal,
  ): Promise<readonly SpoolRecord[]> {
    try {
      return await this.#readOn(limits, signal);
    } catch (thrown) {
      // What was read is kept in memory: the next call must look at the file again, which somebody may have mended.
      await this.#dropReader();
      throw thrown;
    }
  }

  async #readOn(
    limits: { readonly maxRecords: number; readonly maxBytes: number },
    signal: AbortSignal,
  ): Promise<readonly SpoolRecord[]> {
    const begin = this.#next;
    while (!signal.aborted) {
      this.#ports.checkOpen();
      if (this.#next > this.#last) {
        if (this.#next !== begin && begin <= this.#last) return [];
        if (this.#isInRemoved) {
          await this.#dropReader();
          continue;
        }
        await this.#ports.wakeups.wait(signal);
        continue;
      }
      const recent = this.#ports.recent.from(this.#next, limits);
      if (recent.length > 0) {
        this.#next += recent.length;
        return recent;
      }
      const next = this.#findNext();
      const { reading, isAtRecord } = await this.#loadAt(next);
      // n.b. commit and rewind may have moved #next during the awaits.
      if (this.#next !== next) continue;
      if (!isAtRecord) this.#passEndOf(reading);
      else if (reading.reader.position > next) this.#passMissing(reading.reader.position, reading.segment);
      else {
        const records = this.#takeLoaded(reading.reader, limits);
        if (records.length > 0) return records;
      }
    }
    return [];
  }

  #takeLoaded(
    reader: SegmentReader,
    limits: { readonly maxRecords: number; readonly maxBytes: number },
  ): SpoolRecord[] {
    const records: SpoolRecord[] = [];
    let bytes = 0;
    this.#next = reader.position;
    // A position that does not follow the one before ends the batch: the next call reports what is missing.
    for (
      let expected = reader.position;
      reader.isLoaded && reader.position === expected && records.length < limits.maxRecords && bytes < limits.maxBytes;
      expected += 1
    ) {
      const record = reader.take();
      // n.b. damage behind records is left to the next call: when nothing follows, that one says so.
      if (record === undefined && records.length > 0) break;
      this.#next = expected + 1;
      if (record === undefined) this.#lost.push({ from: expected, to: expected });
      else {
        bytes += record.message.body.length;
        records.push(record);
      }
    }
    this.#passLost();
    return records;
  }

  /** n.b. what was removed from the folder by hand is passed over. */
  #findNext(): number {
    const [oldest] = this.#ports.segments;
    if (oldest !== undefined && this.#next < oldest.first) this.#passMissing(oldest.first, oldest);
    return this.#next;
  }

  async #loadAt(position: number): Promise<{ readonly reading: Reading; readonly isAtRecord: boolean }> {
    this.#isLoading = true;
    try {
      const reading = await this.#readingAt(position);
      return { reading, isAtRecord: await reading.reader.load() };
    } finally {
      this.#isLoading = false;
    }
  }

  async #readingAt(position: number): Promise<Reading> {
    const segment = this.#ports.segments.findLast((one) => one.first <= position);
    if (segment === undefined) throw new Error('Expected an open log to have a segment');
    if (this.#reading?.segment === segment && this.#reading.reader.position === position) return this.#reading;

    await this.#dropReader();
    const onDamage = (damage: Damage): void => {
      if ((damage.to ?? Infinity) >= this.#next) this.#ports.damaged(damage);
    };
    const reading = { segment, reader: await SegmentReader.open(segment, onDamage) };
    this.#reading = reading;
    await reading.reader.skipTo(position);
    return reading;
  }

  /** The segment may have grown or been completed meanwhile. */
  #passEndOf({ segment, reader }: Reading): void {
    if (segment.size > reader.offset) return;
    const following =
      this.#ports.segments.find((one) => one.first > segment.first)?.first ?? this.#firstAtHand(segment);
    if (following > this.#next) this.#passMissing(following, segment);
  }

  /**
   * Where to go on when the newest segment, damaged while it is in use, has no more: its newest records may still be in
   * memory.
   */
  #firstAtHand({ last }: Segment): number {
    const { first } = this.#ports.recent;
    return first !== undefined && first > this.#next ? first : last + 1;
  }

  #passMissing(next: number, { path: file }: Segment): void {
    const from = this.#next;
    this.#ports.missing({ from, to: next - 1, file });
    this.#next = next;
    this.#lost.push({ from, to: next - 1 });
    this.#passLost();
  }

  /** What is lost behind all that is done with is done with, too: nobody will ever commit it. */
  #passLost(): void {
    for (let [range] = this.#lost; range !== undefined && range.from <= this.#committed + 1; [range] = this.#lost) {
      this.#lost.shift();
      if (range.to > this.#committed) this.commit(range.to);
    }
  }

  async #dropReader(): Promise<void> {
    const reading = this.#reading;
    this.#reading = undefined;
    await reading?.reader.close().catch((thrown: unknown) => {
      this.#ports.log.warn({ err: toError(thrown) }, 'A segment could not be closed');
    });
  }
}
