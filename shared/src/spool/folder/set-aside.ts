/**
 * Keeps what is damaged out of the way for whoever wants to look at it: in `damaged`, beside the log. Nobody reads it
 * again.
 */
import { constants } from 'node:fs';
import { mkdir, open, rename } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { syncFolder } from './atomic-file.ts';

const folderName = 'damaged';
const pieceBytes = 1024 * 1024;

async function makeFolder(dir: string): Promise<string> {
  const folder = join(dir, folderName);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  return folder;
}

/** Copies the bytes to a file of their own and gives its path. */
export async function copyAside(dir: string, source: string, offset: number, bytes: number): Promise<string> {
  const target = join(await makeFolder(dir), `${basename(source)}.${String(offset)}`);
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
  return target;
}

/** Moves the whole file and gives its new path. */
export async function moveAside(dir: string, name: string): Promise<string> {
  const target = join(await makeFolder(dir), name);
  await rename(join(dir, name), target);
  await syncFolder(dir);
  return target;
}
