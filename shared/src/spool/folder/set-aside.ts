/**
 * Keeps what is damaged out of the way for whoever wants to look at it: in `damaged`, beside the log. Nobody reads it
 * again, so its oldest files go when it takes more than a tenth of what the log may take.
 */
import { constants } from 'node:fs';
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { toError } from '../../foundation/errors.ts';
import type { Logger } from '../../runtime/telemetry/logger.ts';
import { syncFolder } from './atomic-file.ts';

export interface SetAside {
  /**
   * Copies the bytes to a file of their own and gives its path. Throws what the file system throws, and leaves nothing
   * of the copy then.
   */
  copy(source: string, offset: number, bytes: number): Promise<string>;
  /** Moves the whole file and gives its new path. */
  move(name: string): Promise<string>;
}

export interface SetAsideOptions {
  /** Of the log. */
  readonly dir: string;
  /** Most bytes of the log. */
  readonly maxBytes: number;
  readonly log: Logger;
}

export interface SetAsideFile {
  readonly name: string;
  readonly bytes: number;
  /** When it came here. */
  readonly atMs: number;
}

const folderName = 'damaged';
const shareOfLog = 0.1;
const pieceBytes = 1024 * 1024;

/** Which files go so that the rest fits: the oldest, but never `newest`, however large it is. */
export function chooseRemovals(files: readonly SetAsideFile[], newest: string, maxBytes: number): readonly string[] {
  let bytes = files.reduce((sum, file) => sum + file.bytes, 0);
  const removals: string[] = [];
  for (const file of files.filter(({ name }) => name !== newest).sort((a, b) => a.atMs - b.atMs)) {
    if (bytes <= maxBytes) break;
    removals.push(file.name);
    bytes -= file.bytes;
  }
  return removals;
}

export function createSetAside({ dir, maxBytes, log }: SetAsideOptions): SetAside {
  const folder = join(dir, folderName);
  const bound = Math.floor(maxBytes * shareOfLog);
  return {
    async copy(source, offset, bytes) {
      await mkdir(folder, { recursive: true, mode: 0o700 });
      const target = join(folder, `${basename(source)}.${String(offset)}`);
      try {
        await copyBytes(source, { offset, bytes }, target);
      } catch (thrown) {
        await rm(target, { force: true });
        throw thrown;
      }
      await keepWithin(folder, target, bound, log);
      return target;
    },
    async move(name) {
      await mkdir(folder, { recursive: true, mode: 0o700 });
      const target = join(folder, name);
      await rename(join(dir, name), target);
      await syncFolder(dir);
      await keepWithin(folder, target, bound, log);
      return target;
    },
  };
}

async function copyBytes(
  source: string,
  { offset, bytes }: { readonly offset: number; readonly bytes: number },
  target: string,
): Promise<void> {
  const from = await open(source, 'r');
  try {
    const to = await open(target, constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC, 0o600);
    try {
      const piece = Buffer.allocUnsafe(Math.min(bytes, pieceBytes));
      for (let copied = 0; copied < bytes;) {
        const { bytesRead } = await from.read(piece, 0, Math.min(piece.length, bytes - copied), offset + copied);
        if (bytesRead === 0) break;
        await to.writeFile(piece.subarray(0, bytesRead));
        copied += bytesRead;
      }
      await to.sync();
    } finally {
      await to.close();
    }
  } finally {
    await from.close();
  }
}

/** A folder that cannot be tidied up keeps nobody from setting aside. */
async function keepWithin(folder: string, newest: string, maxBytes: number, log: Logger): Promise<void> {
  try {
    const files = await Promise.all(
      (await readdir(folder)).map(async (name) => {
        // n.b. a file that was moved here keeps the time at which it was written.
        const { size: bytes, ctimeMs: atMs } = await stat(join(folder, name));
        return { name, bytes, atMs };
      }),
    );
    const removals = chooseRemovals(files, basename(newest), maxBytes);
    if (removals.length === 0) return;
    for (const name of removals) await rm(join(folder, name), { recursive: true, force: true });
    log.warn(
      { dir: folder, files: removals, maxBytes },
      'What was set aside takes more than a tenth of the log: the oldest files were removed',
    );
  } catch (thrown) {
    log.warn({ err: toError(thrown), dir: folder }, 'The oldest files of what was set aside could not be removed');
  }
}
