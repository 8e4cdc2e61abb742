/**
 * A file of lines that is appended to, and rewritten from a snapshot when it has grown. Lines that arrive together are
 * written and synced together. A line that a crash cut off is dropped at the next start: nobody was told that it was
 * kept.
 */
import { chmod, mkdir, open, readFile, rename, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { HydrantError } from '../../foundation/errors.ts';

export interface JournalOptions {
  readonly path: string;
  /** Never rewritten below this size. */
  readonly compactAboveBytes: number;
  /** Lines that stand for everything appended so far. Called between two writes. */
  snapshot(): Iterable<string>;
}

interface Waiting {
  resolve(this: void): void;
  reject(this: void, error: Error): void;
}

/** What a cluster runs and how it fails is nobody else's. */
const fileMode = 0o600;

/** A journal is rewritten when it is this many times as long as it was after the last time. */
const growth = 4;

export class Journal {
  readonly #options: JournalOptions;
  #file: FileHandle | undefined;
  /** Where the last whole line ends; what lies behind it is overwritten. */
  #size = 0;
  #compactAbove: number;
  #pending: string[] = [];
  #waiting: Waiting[] = [];
  #isWriting = false;

  constructor(options: JournalOptions) {
    this.#options = options;
    this.#compactAbove = options.compactAboveBytes;
  }

  /** Opens or makes the file, cuts off a torn last line and gives the others in order. */
  async open(): Promise<readonly string[]> {
    const { path } = this.#options;
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    await (await open(path, 'a', fileMode)).close();
    // n.b. one that an older version made may be readable by all.
    await chmod(path, fileMode);
    const bytes = await readFile(path);
    this.#file = await open(path, 'r+');
    this.#size = bytes.lastIndexOf(0x0a) + 1;
    await this.#file.truncate(this.#size);
    return bytes.toString('utf8', 0, this.#size).split('\n').slice(0, -1);
  }

  /**
   * Resolves when the line is on disk. After a rejection it is still there and goes with the next write: the caller's
   * state holds it already.
   */
  append(line: string): Promise<void> {
    this.#pending.push(line);
    return this.flush();
  }

  /** Resolves when all lines appended so far are on disk. */
  flush(): Promise<void> {
    if (this.#pending.length === 0 && !this.#isWriting) return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      if (!this.#isWriting) void this.#writeAll();
    });
  }

  /** Writes what is pending and closes. Safe to call twice. */
  async close(): Promise<void> {
    if (this.#file === undefined) return;
    try {
      await this.flush();
    } finally {
      const file = this.#file;
      this.#file = undefined;
      await file.close();
    }
  }

  async #writeAll(): Promise<void> {
    this.#isWriting = true;
    while (this.#waiting.length > 0) {
      const lines = this.#pending.splice(0);
      const waiting = this.#waiting.splice(0);
      try {
        if (this.#size > this.#compactAbove) await this.#rewrite();
        else await this.#write(lines);
        for (const { resolve } of waiting) resolve();
      } catch (error) {
        this.#pending = [...lines, ...this.#pending];
        const failure = new HydrantError(`Could not write the journal ${this.#options.path}: check the disk`, {
          code: 'state-unavailable',
          retryable: true,
          cause: error,
        });
        for (const { reject } of waiting) reject(failure);
      }
    }
    this.#isWriting = false;
  }

  async #write(lines: readonly string[]): Promise<void> {
    if (lines.length === 0) return;
    if (this.#file === undefined) throw new Error('Expected the journal to be open');
    const bytes = encode(lines);
    await writeAt(this.#file, bytes, this.#size);
    await this.#file.datasync();
    this.#size += bytes.length;
  }

  /**
   * n.b. The snapshot holds the pending lines too: their effects were in the caller's state before they were appended.
   */
  async #rewrite(): Promise<void> {
    const { path, compactAboveBytes } = this.#options;
    const bytes = encode([...this.#options.snapshot()]);
    const fresh = await open(`${path}.new`, 'w+', fileMode);
    try {
      await writeAt(fresh, bytes, 0);
      await fresh.sync();
      await rename(`${path}.new`, path);
    } catch (error) {
      await fresh.close();
      throw error;
    }
    await syncFolder(dirname(path));
    const old = this.#file;
    this.#file = fresh;
    this.#size = bytes.length;
    this.#compactAbove = Math.max(compactAboveBytes, growth * bytes.length);
    await old?.close();
  }
}

function encode(lines: readonly string[]): Buffer {
  return Buffer.from(lines.map((line) => `${line}\n`).join(''));
}

async function writeAt(file: FileHandle, bytes: Buffer, position: number): Promise<void> {
  let written = 0;
  while (written < bytes.length) {
    const { bytesWritten } = await file.write(bytes, written, bytes.length - written, position + written);
    written += bytesWritten;
  }
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
