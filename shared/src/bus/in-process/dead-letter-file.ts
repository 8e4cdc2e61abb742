/**
 * The dead letters of one subscription: a file with one JSON object per line. The body stands there as text, or as base64 (`bodyEncoding`) where it is not UTF-8.
 */
import { isUtf8 } from 'node:buffer';
import { mkdir, open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { toError } from '../../foundation/errors.ts';
import type { Message } from '../../messages/message.ts';
import { syncFolder } from '../../spool/atomic-file.ts';

type Line = Omit<Message, 'body'> & { readonly bodyEncoding: 'utf8' | 'base64'; readonly body: string };

interface Pending {
  readonly line: string;
  resolve(): void;
  reject(error: Error): void;
}

export function formatDeadLetter(message: Message): string {
  const bodyEncoding = isUtf8(message.body) ? 'utf8' : 'base64';
  return `${JSON.stringify({ ...message, bodyEncoding, body: message.body.toString(bodyEncoding) } satisfies Line)}\n`;
}

/** The dead letters of a file's text, oldest first. A line that a crash left unfinished is no dead letter: its message was not settled. */
export function parseDeadLetters(text: string): Message[] {
  const messages: Message[] = [];
  for (const line of text.split('\n')) {
    try {
      const { bodyEncoding, body, ...message } = JSON.parse(line) as Line;
      messages.push({ ...message, body: Buffer.from(body, bodyEncoding) });
    } catch {
      continue;
    }
  }
  return messages;
}

export class DeadLetterFile {
  readonly #path: string;
  readonly #pending: Pending[] = [];
  #handle: FileHandle | undefined;
  #running: Promise<void> | undefined;

  constructor(path: string) {
    this.#path = path;
  }

  /** Resolves when the message is on disk. May be called many times at once; after a rejection the next call opens the file anew. */
  append(message: Message): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#pending.push({ line: formatDeadLetter(message), resolve, reject });
      this.#running ??= this.#run().finally(() => { this.#running = undefined; });
    });
  }

  async close(): Promise<void> {
    await this.#running;
    await this.#closeHandle();
  }

  async #run(): Promise<void> {
    while (this.#pending.length > 0) {
      const group = this.#pending.splice(0);
      try {
        this.#handle ??= await this.#open();
        await this.#handle.appendFile(group.map(({ line }) => line).join(''));
        await this.#handle.datasync();
        for (const { resolve } of group) resolve();
      } catch (thrown) {
        await this.#closeHandle().catch(() => undefined);
        for (const { reject } of group) reject(toError(thrown));
      }
    }
  }

  async #open(): Promise<FileHandle> {
    const dir = dirname(this.#path);
    await mkdir(dir, { recursive: true });
    const handle = await open(this.#path, 'a+');
    try {
      const { size } = await handle.stat();
      const last = Buffer.alloc(1);
      if (size > 0) await handle.read(last, 0, 1, size - 1);
      if (size > 0 && last.toString() !== '\n') await handle.appendFile('\n');
      await syncFolder(dir);
      return handle;
    } catch (thrown) {
      await handle.close();
      throw thrown;
    }
  }

  async #closeHandle(): Promise<void> {
    const handle = this.#handle;
    this.#handle = undefined;
    await handle?.close();
  }
}
