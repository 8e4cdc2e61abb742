/** The dead letters of one subscription in a folder, for a process beside the one that adds to them, or without it. */
import { open, rename, stat } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Clock } from '../../foundation/clock.ts';
import { HydrantError } from '../../foundation/errors.ts';
import { syncFolder } from '../../spool/folder/atomic-file.ts';
import type { DeadLetterStore, DeadLetterVerdict, SweepResult } from '../dead-letter-store.ts';
import { makeReplayed, readDeadLetter } from '../dead-letters.ts';
import { appendUnderLock } from './dead-letter-file.ts';
import { formatDeadLetter, parseDeadLetter, readLines, withDeadLetterLock } from './dead-letter-lines.ts';
import { deadLetterPath, directRoutingKey, replayPath } from './dead-letter-paths.ts';

export interface FileDeadLettersOptions {
  readonly deadLetterDir: string;
  readonly subscription: string;
  readonly clock: Clock;
}

/** By the number of the line. */
type Verdicts = ReadonlyMap<number, Exclude<DeadLetterVerdict, 'keep'>>;

const linesAtOnce = 500;

export function createFileDeadLetters({ deadLetterDir, subscription, clock }: FileDeadLettersOptions): DeadLetterStore {
  const path = deadLetterPath(deadLetterDir, subscription);

  return {
    async sweep(decide, signal) {
      const verdicts = new Map<number, Exclude<DeadLetterVerdict, 'keep'>>();
      const before = await identify(path);
      let number = 0;
      for await (const line of readLines(path)) {
        if (signal.aborted) break;
        const message = parseDeadLetter(line.toString('utf8'));
        const verdict = message === undefined ? 'keep' : decide(readDeadLetter(message));
        if (verdict !== 'keep') verdicts.set(number, verdict);
        number += 1;
      }
      if (verdicts.size === 0) return { replayed: 0, dropped: 0 };
      return withDeadLetterLock(deadLetterDir, clock, async () => {
        // Only added to since, never made anew: so the lines have the same numbers.
        if ((await identify(path)) !== before)
          throw new HydrantError(
            `Expected to be alone with ${path}, but another command has changed it; run this one again`,
            { code: 'dead-letters-changed', retryable: true },
          );
        return takeOut(path, verdicts, { replay: replayPath(deadLetterDir, subscription), subscription });
      });
    },
  };
}

async function identify(path: string): Promise<string> {
  return stat(path).then(
    ({ ino, birthtimeMs }) => `${String(ino)} ${String(birthtimeMs)}`,
    () => '',
  );
}

interface Destination {
  readonly replay: string;
  readonly subscription: string;
}

/**
 * First what is replayed is on disk at its new place, then it goes from the old one: a crash in between has it twice.
 */
async function takeOut(path: string, verdicts: Verdicts, { replay, subscription }: Destination): Promise<SweepResult> {
  const temporary = `${path}.new`;
  const kept = new LineFile(await open(temporary, 'w', 0o600));
  let replays: string[] = [];
  const counts = { replayed: 0, dropped: 0 };
  try {
    let number = 0;
    for await (const line of readLines(path)) {
      const verdict = verdicts.get(number);
      number += 1;
      const message = verdict === 'replay' ? parseDeadLetter(line.toString('utf8')) : undefined;
      if (verdict === undefined) await kept.write(`${line.toString('utf8')}\n`);
      else if (message === undefined) counts.dropped += 1;
      else {
        replays.push(formatDeadLetter(makeReplayed(readDeadLetter(message), directRoutingKey(subscription))));
        counts.replayed += 1;
      }
      if (replays.length >= linesAtOnce) {
        await appendUnderLock(replay, replays);
        replays = [];
      }
    }
    if (replays.length > 0) await appendUnderLock(replay, replays);
  } finally {
    await kept.close();
  }
  await rename(temporary, path);
  await syncFolder(dirname(path));
  return counts;
}

/** Writes lines in few calls. */
class LineFile {
  readonly #handle: FileHandle;
  #lines: string[] = [];

  constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  async write(line: string): Promise<void> {
    this.#lines.push(line);
    if (this.#lines.length >= linesAtOnce) await this.#flush();
  }

  async close(): Promise<void> {
    try {
      await this.#flush();
      await this.#handle.sync();
    } finally {
      await this.#handle.close();
    }
  }

  async #flush(): Promise<void> {
    await this.#handle.appendFile(this.#lines.join(''));
    this.#lines = [];
  }
}
