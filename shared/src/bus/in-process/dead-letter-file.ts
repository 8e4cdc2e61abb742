/**
 * Adds to the dead letters of one subscription: a file with one JSON object per line, which a command may make shorter
 * meanwhile.
 */
import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Clock } from '../../foundation/clock.ts';
import { toError } from '../../foundation/errors.ts';
import type { Message } from '../../messages/message.ts';
import { syncFolder } from '../../spool/folder/atomic-file.ts';
import { formatDeadLetter, withDeadLetterLock } from './dead-letter-lines.ts';

interface Pending {
  readonly line: string;
  resolve(): void;
  reject(error: Error): void;
}

export class DeadLetterFile {
  readonly #path: string;
  readonly #clock: Clock;
  readonly #pending: Pending[] = [];
  #running: Promise<void> | undefined;

  constructor(path: string, clock: Clock) {
    this.#path = path;
    this.#clock = clock;
  }

  /** Resolves when the message is on disk. May be called many times at once. */
  append(message: Message): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#pending.push({ line: formatDeadLetter(message), resolve, reject });
      this.#running ??= this.#run().finally(() => {
        this.#running = undefined;
      });
    });
  }

  async close(): Promise<void> {
    await this.#running;
  }

  async #run(): Promise<void> {
    while (this.#pending.length > 0) {
      const group = this.#pending.splice(0);
      try {
        await appendLines(
          this.#path,
          group.map(({ line }) => line),
          this.#clock,
        );
        for (const { resolve } of group) resolve();
      } catch (thrown) {
        for (const { reject } of group) reject(toError(thrown));
      }
    }
  }
}

/** Resolves when the lines are on disk. */
function appendLines(path: string, lines: readonly string[], clock: Clock): Promise<void> {
  // The file is opened each time: under another name it would go on growing unseen.
  return withDeadLetterLock(dirname(path), clock, () => appendUnderLock(path, lines));
}

/** For those who hold the lock. */
export async function appendUnderLock(path: string, lines: readonly string[]): Promise<void> {
  const handle = await open(path, 'a+', 0o600);
  try {
    const isNew = await endLastLine(handle);
    await handle.appendFile(lines.join(''));
    await handle.datasync();
    if (isNew) await syncFolder(dirname(path));
  } finally {
    await handle.close();
  }
}

/** A line that a crash left unfinished stays alone. True when the file is empty. */
async function endLastLine(handle: FileHandle): Promise<boolean> {
  const { size } = await handle.stat();
  if (size === 0) return true;
  const last = Buffer.alloc(1);
  await handle.read(last, 0, 1, size - 1);
  if (last.toString() !== '\n') await handle.appendFile('\n');
  return false;
}
