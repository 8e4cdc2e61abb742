/** A named place in the log on disk. Reads on from there and remembers up to where all is done with. */
import { toError } from '../../foundation/errors.ts';
import type { Logger } from '../../runtime/telemetry/logger.ts';
import type { RecentRecords } from './recent-records.ts';
import { SegmentReader } from './segment-reader.ts';
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
  #lastRead: Promise<unknown> = Promise.resolve();

  constructor(name: string, committed: number, ports: FolderCursorPorts) {
    this.name = name;
    this.#ports = ports;
    this.#committed = committed;
    this.#next = committed + 1;
  }

  read(limits: { readonly maxRecords: number; readonly maxBytes: number }, signal: AbortSignal): Promise<readonly SpoolRecord[]> {
    const read = this.#read(limits, signal);
    this.#lastRead = read.catch(() => undefined);
    return read;
  }

  rewind(position: number): void {
    this.#next = Math.max(position, this.#committed + 1);
  }

  commit(position: number): void {
    const committed = Math.min(position, this.#last);
    if (committed <= this.#committed) return;
    this.#committed = committed;
    this.#next = Math.max(this.#next, committed + 1);
    this.#ports.moved(committed);
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

  /** Ends the file access; the log is closed before, so that a waiting `read` has been woken. */
  async close(): Promise<void> {
    await this.#lastRead;
    await this.#dropReader();
  }

  get #last(): number {
    return this.#ports.segments.at(-1)?.last ?? 0;
  }

  async #read(limits: { readonly maxRecords: number; readonly maxBytes: number }, signal: AbortSignal): Promise<readonly SpoolRecord[]> {
    try {
      return await this.#readOn(limits, signal);
    } catch (thrown) {
      // What was read is kept in memory: the next call must look at the file again, which somebody may have mended.
      await this.#dropReader();
      throw thrown;
    }
  }

  async #readOn(limits: { readonly maxRecords: number; readonly maxBytes: number }, signal: AbortSignal): Promise<readonly SpoolRecord[]> {
    while (!signal.aborted) {
      this.#ports.checkOpen();
      if (this.#next > this.#last) {
        await this.#ports.wakeups.wait(signal);
        continue;
      }
      const recent = this.#ports.recent.from(this.#next, limits);
      if (recent.length > 0) {
        this.#next += recent.length;
        return recent;
      }
      const reading = await this.#readingAtNext();
      const isAtRecord = await reading.reader.load();
      // n.b. commit and rewind may have moved #next during the awaits.
      if (reading.reader.position !== this.#next) continue;
      if (isAtRecord) return this.#takeLoaded(reading.reader, limits);
      this.#passEndOf(reading);
    }
    return [];
  }

  #takeLoaded(reader: SegmentReader, limits: { readonly maxRecords: number; readonly maxBytes: number }): SpoolRecord[] {
    const records: SpoolRecord[] = [];
    let bytes = 0;
    while (reader.isLoaded && records.length < limits.maxRecords && bytes < limits.maxBytes) {
      try {
        const record = reader.take();
        bytes += record.message.body.length;
        records.push(record);
      } catch (thrown) {
        // The records before the damaged one go out first; the next call throws again.
        if (records.length === 0) throw thrown;
        break;
      }
    }
    this.#next = reader.position;
    return records;
  }

  async #readingAtNext(): Promise<Reading> {
    const { segments } = this.#ports;
    const segment = segments.findLast((one) => one.first <= this.#next) ?? segments[0];
    if (segment === undefined) throw new Error('Expected an open log to have a segment');
    this.#next = Math.max(this.#next, segment.first);
    const position = this.#next;
    if (this.#reading?.segment === segment && this.#reading.reader.position === position) return this.#reading;

    await this.#dropReader();
    const reading = { segment, reader: await SegmentReader.open(segment) };
    this.#reading = reading;
    await reading.reader.skipTo(position);
    return reading;
  }

  /** The segment may have grown or been completed meanwhile; what was removed from the folder by hand is passed over. */
  #passEndOf({ segment, reader }: Reading): void {
    if (segment.size > reader.offset) return;
    const following = this.#ports.segments.find((one) => one.first > segment.first);
    if (following === undefined) return;
    if (following.first > this.#next) {
      this.#ports.log.error({ cursor: this.name, from: this.#next, to: following.first - 1, file: segment.path }, 'Records are missing from the log: a segment was removed or cut');
    }
    this.#next = following.first;
  }

  async #dropReader(): Promise<void> {
    const reading = this.#reading;
    this.#reading = undefined;
    await reading?.reader.close().catch((thrown: unknown) => { this.#ports.log.warn({ err: toError(thrown) }, 'A segment could not be closed'); });
  }
}
