/**
 * Writes records to the newest segment. All that is pending goes into one write and one sync, and only then are their
 * appends answered. What a failed write left behind is cut off again, so the file always ends after a whole record.
 */
import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import type { Clock, Timer } from '../../foundation/clock.ts';
import { toError } from '../../foundation/errors.ts';
import type { Message } from '../../messages/message.ts';
import type { Logger } from '../../runtime/telemetry/logger.ts';
import { syncFolder } from './atomic-file.ts';
import type { RecentRecords } from './recent-records.ts';
import { numberRecords, type EncodedRecords } from './record-codec.ts';
import { makeSegment, markPlace } from './segments.ts';
import type { Segment } from './segments.ts';
import { spoolUnavailable } from '../spool-errors.ts';

/**
 * `always`: kept means on the disk. `never`: kept means with the operating system, which a power cut takes away and a
 * crash of the process does not.
 */
export type SyncPolicy = 'always' | 'never';

export interface LogWriterOptions {
  readonly dir: string;
  readonly segmentBytes: number;
  readonly sync: SyncPolicy;
}

export interface LogWriterPorts {
  readonly log: Logger;
  readonly clock: Clock;
  /** Oldest first; the writer adds to it and moves the end of the last. */
  readonly segments: Segment[];
  readonly recent: RecentRecords;
  /** Called before each write; a rejection fails the write. */
  prepare(): Promise<void>;
  /** Called when records became readable. */
  kept(): void;
  /** Called when a write failed: room may be missing. */
  failed(): void;
}

interface Pending extends EncodedRecords {
  readonly messages: readonly Message[];
  resolve(last: number): void;
  reject(error: Error): void;
}

const groupBytes = 4 * 1024 * 1024;
const rollAgainMs = 1_000;

async function writeFully(handle: FileHandle, bytes: readonly Buffer[], position: number): Promise<void> {
  const { bytesWritten } = await handle.writev(bytes, position);
  const size = bytes.reduce((sum, part) => sum + part.length, 0);
  if (bytesWritten === size) return;
  const rest = Buffer.concat(bytes).subarray(bytesWritten);
  for (let at = 0; at < rest.length;) {
    at += (await handle.write(rest, at, rest.length - at, position + bytesWritten + at)).bytesWritten;
  }
}

export class LogWriter {
  readonly #options: LogWriterOptions;
  readonly #ports: LogWriterPorts;
  readonly #pending: Pending[] = [];
  #handle: FileHandle | undefined;
  #running: Promise<void> | undefined;
  #wantsRoll = false;
  #rollTimer: Timer | undefined;
  #hasDirtyTail = false;

  constructor(options: LogWriterOptions, ports: LogWriterPorts) {
    this.#options = options;
    this.#ports = ports;
  }

  /** Opens the newest segment, or makes another where the next record cannot follow in that. */
  async open(next: number): Promise<void> {
    const newest = this.#ports.segments.at(-1);
    if (newest?.last === next - 1) this.#handle = await open(newest.path, 'r+');
    else await this.#startSegment(next);
  }

  /** Resolves with the position of the last of `messages` when they are kept. */
  write({ bytes, offsets }: EncodedRecords, messages: readonly Message[]): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#pending.push({ bytes, offsets, messages, resolve, reject });
      this.#wake();
    });
  }

  /** Begins a new segment, so that the present one can be removed. */
  roll(): void {
    this.#wantsRoll = true;
    this.#wake();
  }

  /** Waits for what is pending and closes the file. */
  async close(): Promise<void> {
    while (this.#running !== undefined) await this.#running;
    this.#rollTimer?.cancel();
    const handle = this.#handle;
    this.#handle = undefined;
    await handle?.close();
  }

  #wake(): void {
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
    });
  }

  async #run(): Promise<void> {
    while (this.#pending.length > 0 || this.#wantsRoll) {
      const group = this.#takeGroup();
      try {
        const before = await this.#writeGroup(group);
        let last = before;
        for (const { messages, resolve } of group) {
          last += messages.length;
          resolve(last);
        }
      } catch (thrown) {
        await this.#cutTail();
        const error = spoolUnavailable(
          `Expected to write to the log in ${this.#options.dir}; make sure that the disk has space and takes writes`,
          thrown,
        );
        for (const { reject } of group) reject(error);
        if (group.length === 0) this.#rollLater(thrown);
        else this.#ports.failed();
      }
    }
  }

  #rollLater(thrown: unknown): void {
    this.#ports.log.warn(
      { err: toError(thrown), dir: this.#options.dir },
      'A new segment could not be made, will retry',
    );
    this.#rollTimer?.cancel();
    this.#rollTimer = this.#ports.clock.after(rollAgainMs, () => {
      this.roll();
    });
  }

  #takeGroup(): Pending[] {
    let bytes = 0;
    let count = 0;
    while (count < this.#pending.length && (count === 0 || bytes < groupBytes)) {
      bytes += this.#pending[count]?.bytes.length ?? 0;
      count += 1;
    }
    return this.#pending.splice(0, count);
  }

  /** Returns the last position before the group. */
  async #writeGroup(group: readonly Pending[]): Promise<number> {
    // n.b. a segment is also begun to give back the one before it, on a disk that has no room for anything else.
    if (group.length > 0) await this.#ports.prepare();
    const segment = await this.#segmentForWrite();
    const before = segment.last;
    if (group.length === 0) {
      this.#ports.kept();
      return before;
    }
    const handle = this.#openHandle();
    if (this.#hasDirtyTail) await handle.truncate(segment.size);
    let first = before + 1;
    for (const pending of group) {
      numberRecords(pending, first);
      first += pending.messages.length;
    }
    this.#hasDirtyTail = true;
    await writeFully(
      handle,
      group.map(({ bytes }) => bytes),
      segment.size,
    );
    if (this.#options.sync === 'always') await handle.datasync();
    this.#hasDirtyTail = false;

    for (const { bytes, messages } of group) {
      const first = segment.last + 1;
      markPlace(segment, first);
      segment.size += bytes.length;
      segment.last += messages.length;
      this.#ports.recent.add({ first, messages, bytes: bytes.length });
    }
    this.#ports.kept();
    return before;
  }

  async #segmentForWrite(): Promise<Segment> {
    const newest = this.#ports.segments.at(-1);
    const wantsRoll = this.#wantsRoll;
    // When it fails, `#rollLater` asks again.
    this.#wantsRoll = false;
    if (newest !== undefined && (newest.size === 0 || (newest.size < this.#options.segmentBytes && !wantsRoll)))
      return newest;
    return this.#startSegment((newest?.last ?? 0) + 1);
  }

  async #startSegment(first: number): Promise<Segment> {
    const segment = makeSegment(this.#options.dir, first);
    // n.b. `w`: the only file that can have this name is an empty one that an earlier attempt left.
    const handle = await open(segment.path, 'w', 0o600);
    try {
      await syncFolder(this.#options.dir);
    } catch (thrown) {
      await handle.close();
      throw thrown;
    }
    const previous = this.#handle;
    this.#handle = handle;
    this.#ports.segments.push(segment);
    await previous?.close();
    return segment;
  }

  #openHandle(): FileHandle {
    if (this.#handle === undefined)
      throw spoolUnavailable(`Expected the log in ${this.#options.dir} to be open; it is closed`);
    return this.#handle;
  }

  async #cutTail(): Promise<void> {
    const newest = this.#ports.segments.at(-1);
    if (!this.#hasDirtyTail || newest === undefined || this.#handle === undefined) return;
    try {
      await this.#handle.truncate(newest.size);
      this.#hasDirtyTail = false;
    } catch (thrown) {
      this.#ports.log.warn(
        { err: toError(thrown), file: newest.path },
        'The tail of a failed write could not be cut off yet',
      );
    }
  }
}
