/**
 * The log in a folder. Files: `spool.json` (format), `lock`, `cursors.json`, and segments of checksummed records named by their first position.
 * Records are appended by one writer, read by any number of cursors, and removed a segment at a time when the slowest cursor has passed it.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock, Timer } from '../foundation/clock.ts';
import { errorCode, toError } from '../foundation/errors.ts';
import type { Message } from '../messages/message.ts';
import type { Logger } from '../runtime/telemetry/logger.ts';
import { replaceFile } from './folder/atomic-file.ts';
import { CursorFile, loadPositions } from './folder/cursor-file.ts';
import { FolderCursor } from './folder/folder-cursor.ts';
import { lockFolder } from './folder/folder-lock.ts';
import type { FolderLock } from './folder/folder-lock.ts';
import { LogWriter } from './folder/log-writer.ts';
import type { SyncPolicy } from './folder/log-writer.ts';
import { encodeRecords } from './folder/record-codec.ts';
import { RecentRecords } from './folder/recent-records.ts';
import { ByteBound } from './byte-bound.ts';
import { listSegments, recoverLast, removeSegment } from './folder/segments.ts';
import type { Segment } from './folder/segments.ts';
import { spoolForeign, spoolFormat, spoolUnavailable } from './spool-errors.ts';
import type { Cursor, Spool } from './spool.ts';
import { Wakeups } from './wakeups.ts';

export interface FolderSpoolOptions {
  /** Made where it does not exist. */
  readonly dir: string;
  /** Whose log it is, in words; a folder that says otherwise is refused. Default: nobody's in particular. */
  readonly owner?: string;
  /** Most bytes of segments on disk. */
  readonly maxBytes: number;
  /** Size at which a segment is complete. Default: an eighth of `maxBytes`, at most 64 MiB. */
  readonly segmentBytes?: number;
  /** Default `always`. */
  readonly sync?: SyncPolicy;
  readonly log: Logger;
  readonly clock: Clock;
}

const format = 1;
const largestSegmentBytes = 64 * 1024 * 1024;
const removeAgainMs = 1_000;
const recentBytes = 4 * 1024 * 1024;

/** What `spool.json` says; undefined when it is none. */
function readLabel(text: string): { readonly format?: unknown; readonly owner?: string } | undefined {
  try {
    const label: unknown = JSON.parse(text);
    if (typeof label !== 'object' || label === null) return undefined;
    const { format: version, owner } = label as Readonly<Record<string, unknown>>;
    return typeof owner === 'string' ? { format: version, owner } : { format: version };
  } catch {
    return undefined;
  }
}

class FolderSpool implements Spool {
  readonly maxBytes: number;
  readonly #dir: string;
  readonly #owner: string | undefined;
  readonly #log: Logger;
  readonly #clock: Clock;
  readonly #segments: Segment[] = [];
  /** Passed by every cursor, not yet removed from the folder. */
  readonly #passed: Segment[] = [];
  readonly #recent = new RecentRecords(recentBytes);
  readonly #cursors = new Map<string, FolderCursor>();
  readonly #wakeups = new Wakeups();
  readonly #bound: ByteBound;
  readonly #writer: LogWriter;
  readonly #cursorFile: CursorFile;
  #lock: FolderLock | undefined;
  #isOpen = false;
  #hasNewCursor = false;
  #removing: Promise<void> | undefined;
  #removeTimer: Timer | undefined;

  constructor({ dir, owner, maxBytes, segmentBytes, sync = 'always', log, clock }: FolderSpoolOptions) {
    this.maxBytes = maxBytes;
    this.#dir = dir;
    this.#owner = owner;
    this.#log = log;
    this.#clock = clock;
    this.#bound = new ByteBound({ maxBytes, slowest: () => this.#slowest()?.name ?? null, onPressure: () => { this.#release(); } });
    this.#cursorFile = new CursorFile(dir, { log, clock, positions: () => this.#positions() });
    this.#writer = new LogWriter({ dir, sync, segmentBytes: segmentBytes ?? Math.min(largestSegmentBytes, Math.ceil(maxBytes / 8)) }, {
      log,
      clock,
      segments: this.#segments,
      recent: this.#recent,
      prepare: () => this.#saveNewCursors(),
      kept: () => { this.#wakeups.wake(); if (this.#bound.isFull) this.#release(); },
    });
  }

  async open(): Promise<void> {
    if (this.#isOpen) return;
    try {
      this.#lock = await this.#lockAndLoad();
    } catch (thrown) {
      if (errorCode(thrown)?.startsWith('spool-') === true) throw thrown;
      throw spoolUnavailable(`Expected to open the log in ${this.#dir}; make sure that this process may make and write files there and that the disk has space`, thrown);
    }
    this.#isOpen = true;
    this.#release();
  }

  async #lockAndLoad(): Promise<FolderLock> {
    const lock = await lockFolder(this.#dir);
    try {
      const segments = await listSegments(this.#dir);
      await this.#checkFormat(segments.length > 0);
      await this.#recover(segments.at(-1));
      const positions = await loadPositions(this.#dir);

      this.#segments.splice(0, this.#segments.length, ...segments);
      await this.#writer.open();
      this.#bound.take(segments.reduce((sum, { size }) => sum + size, 0));
      for (const [name, committed] of positions) this.#addCursor(name, Math.max(this.#first - 1, Math.min(committed, this.last)));
    } catch (thrown) {
      await lock.release();
      throw thrown;
    }
    return lock;
  }

  append(messages: readonly Message[], signal?: AbortSignal, options: { readonly evenWhenFull?: boolean } = {}): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#checkOpen();
      if (messages.length === 0) {
        resolve(this.last);
        return;
      }
      const bytes = encodeRecords(messages);
      const admit = (): void => {
        this.#writer.write(bytes, messages).then(resolve, (thrown: unknown) => {
          this.#bound.leave(bytes.length);
          reject(toError(thrown));
        });
      };
      this.#bound.enter(bytes.length, { admit, fail: reject, evenWhenFull: options.evenWhenFull === true }, signal);
    });
  }

  /** A new cursor is on disk before the next record is, so a crash cannot make it begin later. */
  cursor(name: string, options: { readonly from?: 'start' | 'end' } = {}): Cursor {
    this.#checkOpen();
    const existing = this.#cursors.get(name);
    if (existing !== undefined) return existing;
    this.#hasNewCursor = true;
    this.#cursorFile.saveSoon();
    return this.#addCursor(name, options.from === 'end' ? this.last : this.#first - 1);
  }

  cursors(): readonly Cursor[] {
    return [...this.#cursors.values()];
  }

  async removeCursor(name: string): Promise<void> {
    const cursor = this.#cursors.get(name);
    if (cursor === undefined) return;
    this.#cursors.delete(name);
    await cursor.close();
    await this.#cursorFile.save();
    this.#release();
  }

  get last(): number {
    return this.#segments.at(-1)?.last ?? 0;
  }

  get bytes(): number {
    return this.#bound.held;
  }

  onFull(listener: (slowest: string | null) => void): void {
    this.#bound.onFull(listener);
  }

  async close(): Promise<void> {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#bound.refuse(this.#closedError());
    this.#wakeups.wake();
    await this.#writer.close();
    for (const cursor of this.#cursors.values()) await cursor.close();
    this.#removeTimer?.cancel();
    await this.#removing;
    await this.#cursorFile.close().catch((thrown: unknown) => {
      this.#log.warn({ err: toError(thrown), dir: this.#dir }, 'Cursors could not be saved; the next start repeats messages');
    });
    await this.#lock?.release();
  }

  async #checkFormat(hasSegments: boolean): Promise<void> {
    const path = join(this.#dir, 'spool.json');
    let text: string;
    try {
      text = await readFile(path, 'utf8');
    } catch (thrown) {
      if (errorCode(thrown) !== 'ENOENT') throw thrown;
      if (hasSegments) throw spoolFormat(path, format, 'no such file beside segments');
      await replaceFile(path, `${JSON.stringify({ format, owner: this.#owner })}\n`);
      return;
    }
    const found = readLabel(text);
    if (found?.format !== format) throw spoolFormat(path, format, text.trim().slice(0, 100));
    if (found.owner !== this.#owner) throw spoolForeign(path, this.#owner, found.owner);
  }

  async #recover(newest: Segment | undefined): Promise<void> {
    if (newest === undefined) return;
    const cut = await recoverLast(newest);
    if (cut > 0) this.#log.warn({ file: newest.path, bytes: cut, kept: newest.last }, 'An unfinished write at the end of the log was cut off');
  }

  get #first(): number {
    return this.#segments[0]?.first ?? 1;
  }

  #checkOpen(): void {
    if (!this.#isOpen) throw this.#closedError();
  }

  #closedError(): Error {
    return spoolUnavailable(`Expected the log in ${this.#dir} to be open; it is closed`);
  }

  #addCursor(name: string, committed: number): FolderCursor {
    const cursor = new FolderCursor(name, committed, {
      log: this.#log,
      segments: this.#segments,
      recent: this.#recent,
      wakeups: this.#wakeups,
      checkOpen: () => { this.#checkOpen(); },
      moved: (position) => { this.#moved(position); },
    });
    this.#cursors.set(name, cursor);
    return cursor;
  }

  *#positions(): Iterable<readonly [string, number]> {
    for (const { name, committed } of this.#cursors.values()) yield [name, committed];
  }

  async #saveNewCursors(): Promise<void> {
    if (!this.#hasNewCursor) return;
    this.#hasNewCursor = false;
    try {
      await this.#cursorFile.save();
    } catch (thrown) {
      this.#hasNewCursor = true;
      throw thrown;
    }
  }

  #moved(committed: number): void {
    if (!this.#isOpen) return;
    this.#cursorFile.saveSoon();
    if (this.#bound.isFull || committed >= (this.#segments[0]?.last ?? 0)) this.#release();
  }

  #slowest(): FolderCursor | undefined {
    let slowest: FolderCursor | undefined;
    for (const cursor of this.#cursors.values()) {
      if (slowest === undefined || cursor.committed < slowest.committed) slowest = cursor;
    }
    return slowest;
  }

  /** Removes the segments that every cursor has passed. When the log is full, that includes the newest. */
  #release(): void {
    const slowest = this.#slowest();
    if (slowest === undefined) return;
    while (this.#segments.length > 1 && (this.#segments[0]?.last ?? 0) <= slowest.committed) this.#passed.push(...this.#segments.splice(0, 1));
    if (this.#bound.isFull && slowest.committed >= this.last && (this.#segments.at(-1)?.size ?? 0) > 0) this.#writer.roll();
    if (this.#passed.length > 0 && this.#removeTimer === undefined) this.#removing ??= this.#remove().finally(() => { this.#removing = undefined; });
  }

  async #remove(): Promise<void> {
    for (let segment = this.#passed[0]; segment !== undefined; segment = this.#passed[0]) {
      try {
        await removeSegment(this.#dir, segment);
      } catch (thrown) {
        this.#log.warn({ err: toError(thrown), file: segment.path }, 'A segment that is done with could not be removed, will retry');
        this.#removeTimer = this.#clock.after(removeAgainMs, () => { this.#removeTimer = undefined; this.#release(); });
        return;
      }
      this.#passed.shift();
      this.#bound.leave(segment.size);
    }
  }
}

/** A log that outlives the process, in a folder of its own. */
export function createFolderSpool(options: FolderSpoolOptions): Spool {
  return new FolderSpool(options);
}
