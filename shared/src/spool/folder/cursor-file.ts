/** Keeps the committed positions of all cursors in `cursors.json`, written soon after they moved. Losing the newest positions means repeats, never losses. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock, Timer } from '../../foundation/clock.ts';
import { errorCode, toError } from '../../foundation/errors.ts';
import type { Logger } from '../../runtime/telemetry/logger.ts';
import { replaceFile } from './atomic-file.ts';
import { spoolCorrupt } from '../spool-errors.ts';

export interface CursorFilePorts {
  readonly log: Logger;
  readonly clock: Clock;
  /** Name and committed position of every cursor. */
  positions(): Iterable<readonly [name: string, committed: number]>;
}

const fileName = 'cursors.json';
const saveEveryMs = 250;

function parsePositions(path: string, text: string): Map<string, number> {
  try {
    const parsed: unknown = JSON.parse(text);
    if (typeof parsed === 'object' && parsed !== null) {
      const entries = Object.entries(parsed);
      if (entries.every((entry): entry is [string, number] => Number.isSafeInteger(entry[1]))) return new Map(entries);
    }
  } catch {
    // falls through to the error that names the file
  }
  throw spoolCorrupt(path, 0, 'text that is no object of positions by cursor name');
}

/** Empty where there is no such file yet. Throws `spool-corrupt`. */
export async function loadPositions(dir: string): Promise<Map<string, number>> {
  const path = join(dir, fileName);
  try {
    return parsePositions(path, await readFile(path, 'utf8'));
  } catch (thrown) {
    if (errorCode(thrown) === 'ENOENT') return new Map();
    throw thrown;
  }
}

export class CursorFile {
  readonly #path: string;
  readonly #ports: CursorFilePorts;
  #timer: Timer | undefined;
  #saving: Promise<void> = Promise.resolve();
  #isDirty = false;
  #isFailing = false;

  constructor(dir: string, ports: CursorFilePorts) {
    this.#path = join(dir, fileName);
    this.#ports = ports;
  }

  /** Saves within 250 ms, and again later when that fails. */
  saveSoon(): void {
    this.#isDirty = true;
    this.#timer ??= this.#ports.clock.after(saveEveryMs, () => {
      this.#timer = undefined;
      this.save().then(() => { this.#isFailing = false; }, (thrown: unknown) => {
        if (!this.#isFailing) this.#ports.log.warn({ err: toError(thrown), file: this.#path }, 'Cursors could not be saved, will retry; a restart now would repeat messages');
        this.#isFailing = true;
        this.saveSoon();
      });
    });
  }

  /** Resolves when the positions of this moment, or later ones, are on disk. */
  save(): Promise<void> {
    const saved = this.#saving.then(() => {
      this.#isDirty = false;
      return replaceFile(this.#path, `${JSON.stringify(Object.fromEntries(this.#ports.positions()))}\n`);
    });
    this.#saving = saved.catch(() => { this.#isDirty = true; });
    return saved;
  }

  /** Saves for the last time what is not saved yet. */
  async close(): Promise<void> {
    this.#timer?.cancel();
    await this.#saving;
    if (this.#isDirty) await this.save();
    this.#timer?.cancel();
  }
}
