/**
 * Keeps the committed positions of all cursors in `cursors.json`, written soon after they moved. Losing the newest
 * positions means repeats, never losses. A second line has the checksum of the first: a changed digit must not become a
 * position that skips records.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import type { Clock, Timer } from '../../foundation/clock.ts';
import { errorCode, toError } from '../../foundation/errors.ts';
import type { Logger } from '../../runtime/telemetry/logger.ts';
import { replaceFile } from './atomic-file.ts';
import { maxPosition } from './record-codec.ts';
import type { SavedCursors } from './recovery.ts';

export interface CursorFilePorts {
  readonly log: Logger;
  readonly clock: Clock;
  /** Position of the newest record. */
  last(): number;
  /** Name and committed position of every cursor. */
  positions(): Iterable<readonly [name: string, committed: number]>;
}

const fileName = 'cursors.json';
const saveEveryMs = 250;

export function cursorFilePath(dir: string): string {
  return join(dir, fileName);
}

export function writePositions(last: number, positions: Iterable<readonly [name: string, committed: number]>): string {
  const line = JSON.stringify({ last, positions: [...positions] });
  return `${line}\n${checksum(line)}\n`;
}

function checksum(line: string): string {
  return crc32(line).toString(16).padStart(8, '0');
}

function parsePositions(text: string): SavedCursors {
  const [line = '', sum] = text.split('\n');
  if (checksum(line) !== sum) return { state: 'damaged' };
  const { last, positions } = JSON.parse(line) as {
    readonly last: number;
    readonly positions: readonly (readonly [string, number])[];
  };
  const isPosition = (value: unknown): boolean => Number.isSafeInteger(value) && Number(value) <= maxPosition;
  return isPosition(last) && positions.every(([, committed]) => isPosition(committed))
    ? { state: 'intact', last, positions: new Map(positions) }
    : { state: 'damaged' };
}

export async function loadPositions(dir: string): Promise<SavedCursors> {
  try {
    return parsePositions(await readFile(cursorFilePath(dir), 'utf8'));
  } catch (thrown) {
    if (errorCode(thrown) === 'ENOENT') return { state: 'absent' };
    throw thrown;
  }
}

export class CursorFile {
  readonly #path: string;
  readonly #ports: CursorFilePorts;
  #timer: Timer | undefined;
  #saving: Promise<void> = Promise.resolve();
  #isFailing = false;

  constructor(dir: string, ports: CursorFilePorts) {
    this.#path = cursorFilePath(dir);
    this.#ports = ports;
  }

  /** Saves within 250 ms, and again later when that fails. */
  saveSoon(): void {
    this.#timer ??= this.#ports.clock.after(saveEveryMs, () => {
      this.#timer = undefined;
      this.save().then(
        () => {
          this.#isFailing = false;
        },
        (thrown: unknown) => {
          if (!this.#isFailing)
            this.#ports.log.warn(
              { err: toError(thrown), file: this.#path },
              'Cursors could not be saved, will retry; a restart now would repeat messages',
            );
          this.#isFailing = true;
          this.saveSoon();
        },
      );
    });
  }

  /** Resolves when the positions of this moment, or later ones, are on disk. */
  save(): Promise<void> {
    const saved = this.#saving.then(() =>
      replaceFile(this.#path, writePositions(this.#ports.last(), this.#ports.positions())),
    );
    this.#saving = saved.catch(() => undefined);
    return saved;
  }

  /** Saves for the last time, also when no cursor has moved: the next start is to know which records there were. */
  async close(): Promise<void> {
    this.#timer?.cancel();
    await this.save();
    this.#timer?.cancel();
  }
}
