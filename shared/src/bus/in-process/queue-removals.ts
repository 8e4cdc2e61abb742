/**
 * How a command removes the queue of a sink that is gone: it leaves a request beside the dead letters, and the process
 * that has the log open, or the next one that opens it, does it. Nobody else may touch the log.
 */
import { access, mkdir, rm, writeFile } from 'node:fs/promises';
import type { Clock } from '../../foundation/clock.ts';
import { toError } from '../../foundation/errors.ts';
import type { Logger } from '../../runtime/telemetry/logger.ts';
import { syncFolder } from '../../spool/folder/atomic-file.ts';
import type { Spool } from '../../spool/spool.ts';
import { withDeadLetterLock } from './dead-letter-lines.ts';
import { deadLetterPath, listRemovals, removalPath, replayPath } from './dead-letter-paths.ts';

export interface RemovalIntakePorts {
  readonly deadLetterDir: string;
  readonly spool: Pick<Spool, 'removeCursor'>;
  /** Whether somebody reads the queue, or will. */
  readonly isRead: (name: string) => boolean;
  readonly log: Logger;
  readonly clock: Clock;
}

const lookEveryMs = 1_000;

/** Resolves when the request is on disk. */
export async function askForRemoval(deadLetterDir: string, name: string): Promise<void> {
  await mkdir(deadLetterDir, { recursive: true, mode: 0o700 });
  await writeFile(removalPath(deadLetterDir, name), '', { mode: 0o600 });
  await syncFolder(deadLetterDir);
}

/** False once the request has been answered, whatever the answer. */
export function isAskedFor(deadLetterDir: string, name: string): Promise<boolean> {
  return access(removalPath(deadLetterDir, name)).then(
    () => true,
    () => false,
  );
}

/** Resolves when `signal` has aborted and nothing is under way. */
export async function takeInRemovals(ports: RemovalIntakePorts, signal: AbortSignal): Promise<void> {
  const { deadLetterDir, log, clock } = ports;
  while (!signal.aborted) {
    try {
      for (const name of await listRemovals(deadLetterDir)) await answer(name, ports);
    } catch (thrown) {
      if (!signal.aborted) log.warn({ err: toError(thrown) }, 'A queue that is to be removed could not be, will retry');
    }
    await clock.sleep(lookEveryMs, signal);
  }
}

async function answer(name: string, { deadLetterDir, spool, isRead, log, clock }: RemovalIntakePorts): Promise<void> {
  if (isRead(name)) {
    log.warn(
      { queue: name },
      'A queue that has a reader is not removed: take its sink out of the settings and restart first',
    );
  } else {
    await spool.removeCursor(name);
    const replay = replayPath(deadLetterDir, name);
    await withDeadLetterLock(deadLetterDir, clock, () =>
      Promise.all(
        [deadLetterPath(deadLetterDir, name), replay, `${replay}ing`].map((path) => rm(path, { force: true })),
      ),
    );
    log.info({ queue: name }, 'Queue removed, with its dead letters');
  }
  await rm(removalPath(deadLetterDir, name), { force: true });
  await syncFolder(deadLetterDir);
}
