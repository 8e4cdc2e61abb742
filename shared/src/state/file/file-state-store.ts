/**
 * The state of one process: in memory, with a journal on disk that brings it back after a restart. A line of the
 * journal is a commit: its changes as key, value, time of expiry and deadline. The first line names the format. One
 * process at a time.
 */
import type { Clock } from '../../foundation/clock.ts';
import type { Component } from '../../runtime/component.ts';
import type { Logger } from '../../runtime/telemetry/logger.ts';
import { committed, MemoryState } from '../memory-state-store.ts';
import { newerFormat } from '../state-errors.ts';
import {
  stateFormat,
  type CommitResult,
  type LoadedEntries,
  type StateChange,
  type StateLimits,
  type StateStore,
} from '../state-store.ts';
import { Journal } from './journal.ts';

export interface FileStateStoreOptions {
  readonly path: string;
  readonly limits: StateLimits;
  readonly log: Logger;
  readonly clock: Clock;
  /** Default 4 MiB. */
  readonly compactAboveBytes?: number;
}

type WrittenChange =
  readonly [key: string] | readonly [key: string, value: string, expiresAtMs: number, deadlineMs: number | null];

/** Pure: the journal is opened by `start`. */
export function createFileStateStore(options: FileStateStoreOptions): StateStore & Component {
  return new FileStateStore(options);
}

class FileStateStore implements StateStore, Component {
  readonly name = 'state';
  readonly #options: FileStateStoreOptions;
  readonly #state: MemoryState;
  readonly #journal: Journal;

  constructor(options: FileStateStoreOptions) {
    this.#options = options;
    this.#state = new MemoryState(options);
    this.#journal = new Journal({
      path: options.path,
      compactAboveBytes: options.compactAboveBytes ?? 4 * 1024 * 1024,
      snapshot: () => this.#snapshot(),
    });
  }

  /** Throws `state-format-newer` when a newer version wrote the journal. */
  async start(): Promise<void> {
    const { path, log } = this.#options;
    const lines = await this.#journal.open();
    let damaged = 0;
    for (const line of lines) if (!this.#replay(line)) damaged += 1;
    if (lines.length === 0) await this.#journal.append(formatLine());
    if (damaged > 0)
      log.error(
        { path, damaged },
        'Journal of the state has damaged lines, they are left out: crashes may be missing from the window',
      );
  }

  async stop(): Promise<void> {
    await this.#journal.close();
  }

  prepare(): Promise<void> {
    return Promise.resolve();
  }

  load(keys: readonly string[], known?: LoadedEntries): Promise<LoadedEntries> {
    return Promise.resolve(this.#state.load(keys, known));
  }

  async commit(changes: readonly StateChange[], read: LoadedEntries): Promise<CommitResult> {
    if (!this.#state.isUnchanged(read)) return { outcome: 'conflict' };
    const evicted = this.#state.applyChanges(changes);
    const nowMs = this.#options.clock.now();
    const written = [
      ...changes.map((change) => writeChange(change, nowMs)),
      ...evicted.map((key): WrittenChange => [key]),
    ];
    // n.b. Nothing new may rest on a line that is being written, or whose write failed.
    await (written.length > 0 ? this.#journal.append(JSON.stringify(written)) : this.#journal.flush());
    return committed(this.#state, changes, evicted);
  }

  due(kind: string, beforeMs: number, limit: number): Promise<readonly string[]> {
    return Promise.resolve(this.#state.due(kind, beforeMs, limit));
  }

  count(kind: string): Promise<number> {
    return Promise.resolve(this.#state.count(kind));
  }

  countDeadlines(kind: string): Promise<number> {
    return Promise.resolve(this.#state.countDeadlines(kind));
  }

  /** False when the line is damaged. */
  #replay(line: string): boolean {
    const written = readLine(line);
    if (written === undefined) return false;
    if (typeof written === 'number') {
      if (written > stateFormat) throw newerFormat(written, this.#options.path);
      return true;
    }
    if (!written.every(([key]) => this.#state.has(key))) return false;
    for (const [key, value, expiresAtMs, deadlineMs] of written) {
      if (value === undefined || expiresAtMs === undefined) this.#state.remove(key);
      else this.#state.put(key, value, expiresAtMs, deadlineMs ?? null);
    }
    return true;
  }

  *#snapshot(): Generator<string> {
    yield formatLine();
    for (const [key, { value, expiresAtMs, deadlineMs }] of this.#state.entries())
      yield JSON.stringify([[key, value, expiresAtMs, deadlineMs] satisfies WrittenChange]);
  }
}

function formatLine(): string {
  return JSON.stringify({ format: stateFormat });
}

function writeChange(change: StateChange, nowMs: number): WrittenChange {
  return change.value === null
    ? [change.key]
    : [change.key, change.value, nowMs + change.expiresInMs, change.deadlineMs];
}

/** The format, or the changes; undefined when the line is neither. */
function readLine(line: string): number | readonly WrittenChange[] | undefined {
  try {
    const written: unknown = JSON.parse(line);
    if (Array.isArray(written)) return written.every(isChange) ? written : undefined;
    const format: unknown = (written as { readonly format?: unknown } | null)?.format;
    return typeof format === 'number' ? format : undefined;
  } catch {
    return undefined;
  }
}

function isChange(written: unknown): written is WrittenChange {
  if (!Array.isArray(written)) return false;
  const [key, value, expiresAtMs, deadlineMs] = written as readonly unknown[];
  if (typeof key !== 'string' || !key.includes('/')) return false;
  return (
    written.length === 1 ||
    (typeof value === 'string' &&
      typeof expiresAtMs === 'number' &&
      (deadlineMs === null || typeof deadlineMs === 'number'))
  );
}
