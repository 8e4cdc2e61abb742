/**
 * Keeps a second process off the folder: a file `lock` with the process id and, on Linux, when that process began, because ids are given out again
 * after a restart of the machine or container. The lock of a process that is gone is taken over.
 */
import { mkdir, open, readFile, realpath, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { errorCode } from '../../foundation/errors.ts';
import { spoolLocked } from '../spool-errors.ts';

export interface FolderLock {
  release(): Promise<void>;
}

/** A process id alone cannot tell whether this process or an earlier one with the same id made the lock. */
const heldHere = new Set<string>();

/** Field 22 of /proc/<pid>/stat: clock ticks from boot to the start of the process; empty where that is not known. */
async function readStart(pid: number): Promise<string> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
  } catch {
    return '';
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (thrown) {
    return errorCode(thrown) === 'EPERM';
  }
}

async function isHeld(path: string, text: string): Promise<boolean> {
  const [pidText, start] = text.trim().split(' ');
  const pid = Number(pidText);
  if (!Number.isSafeInteger(pid) || pid <= 0) return false;
  if (pid === process.pid) return heldHere.has(path);
  if (!isRunning(pid)) return false;
  const startNow = await readStart(pid);
  return start === undefined || startNow === '' || start === startNow;
}

async function writeLock(path: string): Promise<boolean> {
  try {
    const handle = await open(path, 'wx');
    try {
      await handle.writeFile(`${process.pid} ${await readStart(process.pid)}\n`);
    } finally {
      await handle.close();
    }
    return true;
  } catch (thrown) {
    if (errorCode(thrown) === 'EEXIST') return false;
    throw thrown;
  }
}

/** Makes the folder where needed and takes its lock, or throws `spool-locked`. */
export async function lockFolder(dir: string): Promise<FolderLock> {
  await mkdir(dir, { recursive: true });
  const path = join(await realpath(dir), 'lock');
  if (!await writeLock(path)) {
    const text = await readFile(path, 'utf8').catch(() => '');
    if (await isHeld(path, text)) throw spoolLocked(path, `process ${text.trim().split(' ')[0] ?? '?'}`);
    await rm(path, { force: true });
    if (!await writeLock(path)) throw spoolLocked(path, 'a process that started at the same moment');
  }
  heldHere.add(path);
  return {
    release: async () => {
      if (heldHere.delete(path)) await rm(path, { force: true });
    },
  };
}
