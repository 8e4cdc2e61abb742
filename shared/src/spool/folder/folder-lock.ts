/**
 * Keeps a second process off the folder: an advisory lock on the folder itself, which the kernel gives back when the
 * process ends, however it ends. It holds between containers that share a volume, too. Node has no call for it: on
 * Linux the program `flock` (util-linux or busybox) takes the lock on the open file that it inherits, and the lock
 * stays with that file; on macOS and the BSDs it comes with opening.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { constants } from 'node:fs';
import { mkdir, open, readFile, rm, writeFile } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { errorCode } from '../../foundation/errors.ts';
import { spoolLocked, spoolUnavailable } from '../spool-errors.ts';

export interface FolderLock {
  release(): Promise<void>;
}

/** Of macOS and the BSDs. */
const exclusiveLock = 0x20;
const heldByAnother = 1;

/** Makes the folder where needed and takes its lock, or throws `spool-locked`. */
export async function lockFolder(dir: string): Promise<FolderLock> {
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const handle = await (process.platform === 'linux' ? openAndLock(dir) : openLocked(dir));
  // Only for people, and for the message to whoever comes second: a full disk must not keep the log from being opened.
  const note = join(dir, 'lock');
  await writeFile(note, `${String(process.pid)}\n`, { mode: 0o600 }).catch(() => undefined);
  return {
    async release() {
      await rm(note, { force: true }).catch(() => undefined);
      await handle.close();
    },
  };
}

async function openAndLock(dir: string): Promise<FileHandle> {
  const handle = await open(dir, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    if ((await flock(handle.fd)) === heldByAnother) throw await lockedError(dir);
    return handle;
  } catch (thrown) {
    await handle.close();
    throw thrown;
  }
}

/** Resolves with 0, or 1 when another open file has the lock. */
async function flock(fd: number): Promise<number> {
  const child = spawn('flock', ['-n', '3'], { stdio: ['ignore', 'ignore', 'pipe', fd] });
  let stderr = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  try {
    const [code] = (await once(child, 'close')) as [number | null];
    if (code === 0 || (code === heldByAnother && stderr === '')) return code;
    throw new Error(`flock ended with exit status ${String(code)}: ${stderr.trim()}`);
  } catch (cause) {
    throw spoolUnavailable(
      'Expected to lock the folder with the program flock; install util-linux (Debian, Alpine: package util-linux), and see that the file system takes locks',
      cause,
    );
  }
}

async function openLocked(dir: string): Promise<FileHandle> {
  try {
    return await open(dir, constants.O_RDONLY | constants.O_NONBLOCK | exclusiveLock);
  } catch (thrown) {
    if (errorCode(thrown) !== 'EAGAIN') throw thrown;
    throw await lockedError(dir);
  }
}

async function lockedError(dir: string): Promise<Error> {
  const path = join(dir, 'lock');
  const pid = (await readFile(path, 'utf8').catch(() => '')).trim();
  return spoolLocked(dir, pid === '' ? 'another process' : `process ${pid} (perhaps of another container)`);
}
