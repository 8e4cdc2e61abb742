/**
 * Appends NDJSON to a file and syncs it to disk before a batch counts as delivered. A file that was moved away (log
 * rotation) is opened anew; a batch that could be written only in part is cut off again, at once or, after a crash, at
 * the next start. One process writes to one file.
 */
import { mkdir, open, stat, type FileHandle } from 'node:fs/promises';
import { readlinkSync, realpathSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { permanent, retryable, type Batch, type Sink, type SinkDefinition } from '@hydrant/shared/delivery/sink';
import { errorCode } from '@hydrant/shared/foundation/errors';
import { path } from '@hydrant/shared/runtime/config/formats';
import type { Schema } from '@hydrant/shared/runtime/config/setting';
import { syncFolder } from '@hydrant/shared/spool/folder/atomic-file';
import { encodeOrRefuse } from './encoding/encode-or-refuse.ts';
import { encodeLines } from './encoding/lines.ts';

const settings = {
  SINK_FILE_PATH: {
    doc: 'File to append to; its folder is made when it does not exist.',
    format: path,
    default: null,
    required: true,
    example: '/var/lib/hydrant/events.ndjson',
  },
} as const satisfies Schema;

const lineFeed = 0x0a;
const openBrace = 0x7b;
const searchBytes = 64 * 1024;

class FileSink implements Sink {
  readonly #path: string;
  #file: FileHandle | undefined;
  /** Where the last whole batch ends, while a part of another one may stand behind it. */
  #cutAt: number | undefined;
  /** Calls one after the other: one that outlived its time limit must not cut off what a later one has written. */
  #last: Promise<void> = Promise.resolve();

  constructor(filePath: string) {
    this.#path = filePath;
  }

  connect(): Promise<void> {
    return this.#inTurn(() => this.#open());
  }

  write(batch: Batch, signal: AbortSignal): Promise<void> {
    return this.#inTurn(() =>
      signal.aborted
        ? Promise.reject(retryable(`Expected ${this.#path} to take an earlier batch in time, it did not`))
        : this.#append(batch),
    );
  }

  healthcheck(): Promise<void> {
    return this.#inTurn(async () => {
      await this.#current();
    });
  }

  close(): Promise<void> {
    return this.#inTurn(() => this.#close());
  }

  #inTurn(action: () => Promise<void>): Promise<void> {
    const done = this.#last.then(action);
    this.#last = done.catch(() => undefined);
    return done;
  }

  async #append(batch: Batch): Promise<void> {
    const lines = encodeOrRefuse(() => encodeLines(batch));
    const file = await this.#current();
    try {
      if (this.#cutAt !== undefined) await file.truncate(this.#cutAt);
      this.#cutAt = (await file.stat()).size;
      await file.appendFile(lines);
      await file.datasync();
      this.#cutAt = undefined;
    } catch (error) {
      await this.#cut(file);
      throw retryable(
        `Expected to write ${String(batch.length)} messages to ${this.#path}, could not`,
        undefined,
        error,
      );
    }
  }

  /** What cannot be cut off now is cut off before the next batch. */
  async #cut(file: FileHandle): Promise<void> {
    if (this.#cutAt === undefined) return;
    try {
      await file.truncate(this.#cutAt);
      this.#cutAt = undefined;
    } catch {
      // The error of the write itself is reported.
    }
  }

  /** The open file, unless another one (or none) has its name by now. */
  async #current(): Promise<FileHandle> {
    if (this.#file !== undefined && !(await this.#wasMoved(this.#file))) return this.#file;
    await this.#close();
    await this.#open();
    if (this.#file === undefined) throw retryable(`Expected ${this.#path} to be open, it is not`);
    return this.#file;
  }

  async #open(): Promise<void> {
    try {
      await mkdir(dirname(this.#path), { recursive: true, mode: 0o700 });
      const found = await this.#stat();
      // n.b. opening a pipe that nobody reads would wait for ever.
      if (found?.isFile() === false)
        throw permanent(`Expected SINK_FILE_PATH to name a file, got ${this.#path}, which is something else`);
      this.#file = await open(this.#path, 'a+', 0o600);
      if (found === undefined) await syncFolder(dirname(this.#path));
      else await cutTornLine(this.#file, found.size);
    } catch (error) {
      if (errorCode(error) === 'sink-permanent') throw error;
      await this.#close();
      throw retryable(
        `Expected to append to the file ${this.#path} (SINK_FILE_PATH), could not open it`,
        undefined,
        error,
      );
    }
  }

  async #close(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    this.#cutAt = undefined;
    await file?.close();
  }

  async #wasMoved(file: FileHandle): Promise<boolean> {
    const [named, opened] = await Promise.all([this.#stat(), file.stat()]);
    return named?.ino !== opened.ino || named.dev !== opened.dev;
  }

  async #stat() {
    try {
      return await stat(this.#path);
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return undefined;
      throw retryable(
        `Expected to find the file ${this.#path} (SINK_FILE_PATH), could not look for it`,
        undefined,
        error,
      );
    }
  }
}

/** Cuts off the part of a line at the end of the file: of a batch that was never acknowledged and comes again. */
async function cutTornLine(file: FileHandle, size: number): Promise<void> {
  const start = await findLastLine(file, size);
  if (start === size) return;
  const { buffer } = await file.read(Buffer.alloc(1), 0, 1, start);
  if (buffer[0] !== openBrace)
    throw permanent(
      'Expected SINK_FILE_PATH to name a file of JSON lines, it ends in something else; give another path or move that file away',
    );
  await file.truncate(start);
}

/** Where what follows the last line break begins. */
async function findLastLine(file: FileHandle, size: number): Promise<number> {
  for (let end = size; end > 0; end -= searchBytes) {
    const start = Math.max(0, end - searchBytes);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(end - start), 0, end - start, start);
    const at = buffer.subarray(0, bytesRead).lastIndexOf(lineFeed);
    if (at >= 0) return start + at + 1;
  }
  return 0;
}

/** The file that a path leads to, through links; of what does not exist yet, where it will be. */
function realPath(given: string): string {
  const whole = resolve(given);
  try {
    return realpathSync(whole);
  } catch {
    const link = readLink(whole);
    if (link !== undefined) return realPath(resolve(dirname(whole), link));
    const folder = dirname(whole);
    return folder === whole ? whole : join(realPath(folder), basename(whole));
  }
}

/** Of a link that leads to nothing; undefined: it is none. */
function readLink(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}

export const fileSink: SinkDefinition<typeof settings> = {
  type: 'file',
  settings,
  defaults: { batchEvents: 500, batchBytes: 4 * 1024 * 1024, batchAgeMs: 1000 },
  maxConcurrency: 1,
  owns: (values) => realPath(values.SINK_FILE_PATH),
  create: (values) => new FileSink(values.SINK_FILE_PATH),
};
