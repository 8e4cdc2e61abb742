/**
 * The log in a folder. Files: `spool.json` (format), `lock`, `cursors.json`, and segments of checksummed records named
 * by their first position. Records are appended by one writer, read by any number of cursors, and removed a segment at
 * a time when the slowest cursor has passed it.
 */
import type { Clock, Timer } from '../foundation/clock.ts';
import { errorCode, toError } from '../foundation/errors.ts';
import type { Message } from '../messages/message.ts';
import type { Logger } from '../runtime/telemetry/logger.ts';
import { CursorFile } from './folder/cursor-file.ts';
import { DamageLog } from './folder/damage-log.ts';
import { FolderCursor } from './folder/folder-cursor.ts';
import { lockFolder } from './folder/folder-lock.ts';
import type { FolderLock } from './folder/folder-lock.ts';
import { LogWriter } from './folder/log-writer.ts';
import type { SyncPolicy } from './folder/log-writer.ts';
import { encodeRecords } from './folder/record-codec.ts';
import { RecentRecords } from './folder/recent-records.ts';
import { ByteBound } from './byte-bound.ts';
import { recoverFolder } from './folder/recover-folder.ts';
import { removeSegment } from './folder/segments.ts';
import type { Segment } from './folder/segments.ts';
import { createSetAside, type SetAside } from './folder/set-aside.ts';
import { checkLabel } from './folder/spool-label.ts';
import { spoolUnavailable } from './spool-errors.ts';
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

const largestSegmentBytes = 64 * 1024 * 1024;
const removeAgainMs = 1_000;
const recentBytes = 4 * 1024 * 1024;

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
  readonly #setAside: SetAside;
  readonly #damageLog: DamageLog;
  /** Positions of the cursors were lost: a new one begins at the oldest record. */
  #beginsAtOldest = false;
  /** The disk is full though the log is not. */
  #lacksRoom = false;
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
    this.#bound = new ByteBound({
      maxBytes,
      slowest: () => this.#slowest()?.name ?? null,
      onPressure: () => {
        this.#release();
      },
    });
    this.#setAside = createSetAside({ dir, maxBytes, log });
    this.#damageLog = new DamageLog(this.#setAside, log);
    this.#cursorFile = new CursorFile(dir, { log, clock, last: () => this.last, positions: () => this.#positions() });
    this.#writer = new LogWriter(
      { dir, sync, segmentBytes: segmentBytes ?? Math.min(largestSegmentBytes, Math.ceil(maxBytes / 8)) },
      {
        log,
        clock,
        segments: this.#segments,
        recent: this.#recent,
        prepare: () => this.#saveNewCursors(),
        kept: () => {
          this.#kept();
        },
        failed: () => {
          this.#lacksRoom = true;
          this.#release();
        },
      },
    );
  }

  async open(): Promise<void> {
    if (this.#isOpen) return;
    try {
      this.#lock = await this.#lockAndLoad();
    } catch (thrown) {
      if (errorCode(thrown)?.startsWith('spool-') === true) throw thrown;
      throw spoolUnavailable(
        `Expected to open the log in ${this.#dir}; make sure that this process may make and write files there and that the disk has space`,
        thrown,
      );
    }
    this.#isOpen = true;
    this.#release();
  }

  async #lockAndLoad(): Promise<FolderLock> {
    const lock = await lockFolder(this.#dir);
    try {
      await checkLabel(this.#dir, this.#owner);
      const { segments, next, cursors, beginsAtOldest } = await recoverFolder(this.#dir, {
        setAside: this.#setAside,
        log: this.#log,
      });
      this.#segments.splice(0);
      for (const segment of segments) this.#segments.push(segment);
      await this.#writer.open(next);
      this.#bound.take(segments.reduce((sum, { size }) => sum + size, 0));
      this.#beginsAtOldest = beginsAtOldest;
      for (const [name, committed] of cursors) this.#addCursor(name, committed);
      // From now on an absent file means that it was lost. It is written with the first cursor when the disk is full
      // now.
      if (!beginsAtOldest)
        await this.#cursorFile.save().catch(() => {
          this.#hasNewCursor = true;
        });
    } catch (thrown) {
      await lock.release();
      throw thrown;
    }
    return lock;
  }

  append(
    messages: readonly Message[],
    signal?: AbortSignal,
    options: { readonly evenWhenFull?: boolean } = {},
  ): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#checkOpen();
      if (messages.length === 0) {
        resolve(this.last);
        return;
      }
      const records = encodeRecords(messages);
      const admit = (): void => {
        this.#writer.write(records, messages).then(resolve, (thrown: unknown) => {
          this.#bound.leave(records.bytes.length);
          reject(toError(thrown));
        });
      };
      this.#bound.enter(
        records.bytes.length,
        { admit, fail: reject, evenWhenFull: options.evenWhenFull === true },
        signal,
      );
    });
  }

  /** A new cursor is on disk before the next record is, so a crash cannot make it begin later. */
  cursor(name: string, options: { readonly from?: 'start' | 'end' } = {}): Cursor {
    this.#checkOpen();
    const existing = this.#cursors.get(name);
    if (existing !== undefined) return existing;
    this.#hasNewCursor = true;
    this.#cursorFile.saveSoon();
    const beginsAtEnd = options.from === 'end' && !this.#beginsAtOldest;
    if (beginsAtEnd && this.last >= this.#first)
      this.#log.info(
        { cursor: name, after: this.last },
        'New in this log: begins at its end, with what comes from now on',
      );
    return this.#addCursor(name, beginsAtEnd ? this.last : this.#first - 1);
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
    await this.#removing;
    this.#removeTimer?.cancel();
    await this.#damageLog.close();
    await this.#cursorFile.close().catch((thrown: unknown) => {
      this.#log.warn(
        { err: toError(thrown), dir: this.#dir },
        'Cursors could not be saved; the next start repeats messages',
      );
    });
    await this.#lock?.release();
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
      damaged: (damage) => {
        this.#damageLog.damaged(damage, name);
      },
      missing: (range) => {
        this.#damageLog.missing(range, name);
      },
      segments: this.#segments,
      recent: this.#recent,
      wakeups: this.#wakeups,
      checkOpen: () => {
        this.#checkOpen();
      },
      moved: (position) => {
        this.#moved(position);
      },
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

  /** n.b. what lacked room may have been a new segment, behind which the one before it can go. */
  #kept(): void {
    const lackedRoom = this.#lacksRoom;
    this.#lacksRoom = false;
    this.#wakeups.wake();
    if (this.#bound.isFull || lackedRoom) this.#release();
  }

  #moved(committed: number): void {
    if (!this.#isOpen) return;
    this.#cursorFile.saveSoon();
    if (this.#bound.isFull || this.#lacksRoom || committed >= (this.#segments[0]?.last ?? 0)) this.#release();
  }

  #slowest(): FolderCursor | undefined {
    let slowest: FolderCursor | undefined;
    for (const cursor of this.#cursors.values()) {
      if (slowest === undefined || cursor.committed < slowest.committed) slowest = cursor;
    }
    return slowest;
  }

  /** Removes the segments that every cursor has passed. When the log or the disk is full, that includes the newest. */
  #release(): void {
    const slowest = this.#slowest();
    if (slowest === undefined) return;
    while (this.#segments.length > 1 && (this.#segments[0]?.last ?? 0) <= slowest.committed)
      for (const segment of this.#segments.splice(0, 1)) this.#passed.push(segment);
    if (
      (this.#bound.isFull || this.#lacksRoom) &&
      slowest.committed >= this.last &&
      (this.#segments.at(-1)?.size ?? 0) > 0
    )
      this.#writer.roll();
    if (this.#passed.length > 0 && this.#removeTimer === undefined)
      this.#removing ??= this.#remove().finally(() => {
        this.#removing = undefined;
      });
  }

  async #remove(): Promise<void> {
    // So that a start after a crash does not miss what was done with. On a full disk it must go without.
    await this.#cursorFile.save().catch(() => undefined);
    for (let segment = this.#passed[0]; segment !== undefined; segment = this.#passed[0]) {
      try {
        for (const cursor of this.#cursors.values()) await cursor.leaveRemoved();
        await removeSegment(this.#dir, segment);
      } catch (thrown) {
        this.#log.warn(
          { err: toError(thrown), file: segment.path },
          'A segment that is done with could not be removed, will retry',
        );
        this.#removeTimer = this.#clock.after(removeAgainMs, () => {
          this.#removeTimer = undefined;
          this.#release();
        });
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
