/** A disk of its own that is small enough to be filled: a tmpfs, which only root can mount and only Linux has. */
import { execFile, spawnSync } from 'node:child_process';
import { closeSync, openSync, rmSync, writeSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

export interface SmallDisk {
  readonly folder: string;
  /** Takes all the space that is left. May be called again. */
  fill(): void;
  /** Gives it back. */
  free(): void;
  close(): Promise<void>;
}

const run = promisify(execFile);
const chunks = [256 * 1024, 4 * 1024];

/** Undefined where there can be none. */
export async function mountSmallDisk(mebibytes: number): Promise<SmallDisk | undefined> {
  const folder = await mkdtemp(join(tmpdir(), 'hydrant-disk-'));
  try {
    await run('mount', ['-t', 'tmpfs', '-o', `size=${String(mebibytes)}m`, 'tmpfs', folder]);
  } catch {
    await rm(folder, { recursive: true, force: true });
    return undefined;
  }
  let isMounted = true;
  process.once('exit', () => {
    if (isMounted) spawnSync('umount', ['-l', folder]);
  });
  const ballast = join(folder, 'ballast');
  return {
    folder,
    fill() {
      const file = openSync(ballast, 'a');
      for (const bytes of chunks) writeUntilFull(file, Buffer.alloc(bytes));
      closeSync(file);
    },
    free() {
      rmSync(ballast, { force: true });
    },
    async close() {
      await run('umount', ['-l', folder]);
      isMounted = false;
      await rm(folder, { recursive: true, force: true });
    },
  };
}

function writeUntilFull(file: number, chunk: Buffer): void {
  try {
    // n.b. a write that has only partly room is short, and the next one fails.
    for (;;) writeSync(file, chunk);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOSPC')) throw error;
  }
}
