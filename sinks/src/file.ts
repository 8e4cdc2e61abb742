/**
 * Appends NDJSON to a file and syncs it to disk before a batch counts as delivered. A file that was moved away (log rotation) is opened anew;
 * a batch that could be written only in part is cut off again.
 */
import { mkdir, open, stat, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { errorCode } from '@hydrant/shared/foundation/errors';
import { permanent, retryable, type Batch, type Sink, type SinkDefinition } from '@hydrant/shared/delivery/sink';
import { path } from '@hydrant/shared/runtime/config/formats';
import type { Schema } from '@hydrant/shared/runtime/config/setting';

const lineEnd = Buffer.from('\n');
const settings = {
  SINK_FILE_PATH: { doc: 'File to append to; its folder is made when it does not exist.', format: path, default: null, required: true, example: '/var/lib/hydrant/events.ndjson' },
} as const satisfies Schema;

class FileSink implements Sink {
  readonly #path: string;
  #file: FileHandle | undefined;

  constructor(filePath: string) {
    this.#path = filePath;
  }

  async connect(): Promise<void> {
    try {
      await mkdir(dirname(this.#path), { recursive: true });
      this.#file = await open(this.#path, 'a');
    } catch (error) {
      throw retryable(`Expected to append to the file ${this.#path} (SINK_FILE_PATH), could not open it`, undefined, error);
    }
  }

  async write(batch: Batch): Promise<void> {
    const file = await this.#current();
    const { size } = await file.stat();
    try {
      await file.appendFile(Buffer.concat(batch.flatMap((message) => [message.body, lineEnd])));
      await file.datasync();
    } catch (error) {
      await file.truncate(size);
      throw retryable(`Expected to write ${String(batch.length)} messages to ${this.#path}, could not`, undefined, error);
    }
  }

  async healthcheck(): Promise<void> {
    await this.#current();
  }

  async close(): Promise<void> {
    await this.#file?.close();
    this.#file = undefined;
  }

  /** The open file, unless another one (or none) has its name by now. */
  async #current(): Promise<FileHandle> {
    if (this.#file !== undefined && !(await this.#wasMoved(this.#file))) return this.#file;
    await this.close();
    await this.connect();
    if (this.#file === undefined) throw permanent(`Expected ${this.#path} to be open`);
    return this.#file;
  }

  async #wasMoved(file: FileHandle): Promise<boolean> {
    try {
      const [named, opened] = await Promise.all([stat(this.#path), file.stat()]);
      return named.ino !== opened.ino || named.dev !== opened.dev;
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return true;
      throw error;
    }
  }
}

export const fileSink: SinkDefinition<typeof settings> = {
  type: 'file',
  settings,
  defaults: { batchEvents: 500, batchBytes: 4 * 1024 * 1024, batchAgeMs: 1000 },
  maxConcurrency: 1,
  create: (values) => new FileSink(values.SINK_FILE_PATH),
};
