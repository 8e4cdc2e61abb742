/**
 * A state store in memory: what the file adapter keeps on disk, and all that a command needs that ends when it is done.
 */
import type { Clock } from '../foundation/clock.ts';
import {
  kindOf,
  type CommitResult,
  type Committed,
  type LoadedEntries,
  type StateChange,
  type StateLimits,
  type StateStore,
  type StoredEntry,
} from './state-store.ts';

export interface MemoryEntry extends StoredEntry {
  readonly value: string;
  readonly expiresAtMs: number;
}

interface Kind {
  readonly limit: number;
  /** The one that was not committed for the longest time first. */
  readonly entries: Map<string, MemoryEntry>;
  readonly deadlines: Map<string, number>;
}

export interface MemoryStateOptions {
  readonly limits: StateLimits;
  readonly clock: Pick<Clock, 'now'>;
}

export class MemoryState {
  readonly #clock: Pick<Clock, 'now'>;
  readonly #kinds: ReadonlyMap<string, Kind>;
  #version = 0;

  constructor({ limits, clock }: MemoryStateOptions) {
    this.#clock = clock;
    this.#kinds = new Map(
      Object.entries(limits).map(([kind, limit]) => [kind, { limit, entries: new Map(), deadlines: new Map() }]),
    );
  }

  /** Whether entries of the key's kind are kept. */
  has(key: string): boolean {
    return this.#kinds.has(kindOf(key));
  }

  load(keys: readonly string[], known?: LoadedEntries): LoadedEntries {
    return new Map(
      keys.map((key) => {
        const entry = this.#get(key);
        return [key, entry !== null && known?.get(key)?.version === entry.version ? withoutValue(entry) : entry];
      }),
    );
  }

  isUnchanged(read: LoadedEntries): boolean {
    for (const [key, entry] of read) if (this.#get(key)?.version !== entry?.version) return false;
    return true;
  }

  /** Resolves to the keys that had to make room. */
  applyChanges(changes: readonly StateChange[]): readonly string[] {
    const grown = new Set<string>();
    const nowMs = this.#clock.now();
    for (const change of changes) {
      if (change.value === null) this.#remove(change.key);
      else {
        if (!this.#kind(change.key).entries.has(change.key)) grown.add(kindOf(change.key));
        this.put(change.key, change.value, nowMs + change.expiresInMs, change.deadlineMs);
      }
    }
    return [...grown].flatMap((kind) => this.#makeRoom(kind, nowMs));
  }

  put(key: string, value: string, expiresAtMs: number, deadlineMs: number | null): void {
    const { entries, deadlines } = this.#kind(key);
    this.#version += 1;
    // n.b. Deleted first: the order of the map is that of the commits.
    entries.delete(key);
    entries.set(key, { value, version: String(this.#version), deadlineMs, expiresAtMs });
    if (deadlineMs === null) deadlines.delete(key);
    else deadlines.set(key, deadlineMs);
  }

  due(kind: string, beforeMs: number, limit: number): string[] {
    const due = [...this.#kindNamed(kind).deadlines].filter(([, deadlineMs]) => deadlineMs <= beforeMs);
    return due
      .sort(([a, atA], [b, atB]) => atA - atB || (a < b ? -1 : 1))
      .slice(0, limit)
      .map(([key]) => key);
  }

  count(kind: string): number {
    return this.#kindNamed(kind).entries.size;
  }

  countDeadlines(kind: string): number {
    return this.#kindNamed(kind).deadlines.size;
  }

  /** All that has not expired; what has is dropped. */
  *entries(): Generator<readonly [string, MemoryEntry]> {
    const nowMs = this.#clock.now();
    for (const { entries } of this.#kinds.values()) {
      for (const [key, entry] of entries) {
        if (entry.expiresAtMs <= nowMs) this.#remove(key);
        else yield [key, entry];
      }
    }
  }

  remove(key: string): void {
    this.#remove(key);
  }

  #get(key: string): MemoryEntry | null {
    const entry = this.#kind(key).entries.get(key);
    return entry === undefined || entry.expiresAtMs <= this.#clock.now() ? null : entry;
  }

  #remove(key: string): void {
    const { entries, deadlines } = this.#kind(key);
    entries.delete(key);
    deadlines.delete(key);
  }

  #makeRoom(name: string, nowMs: number): string[] {
    const { entries, limit } = this.#kindNamed(name);
    const evicted: string[] = [];
    for (const [key, { expiresAtMs }] of entries) {
      if (expiresAtMs > nowMs && entries.size <= limit) break;
      if (expiresAtMs > nowMs) evicted.push(key);
      this.#remove(key);
    }
    return evicted;
  }

  #kind(key: string): Kind {
    return this.#kindNamed(kindOf(key));
  }

  #kindNamed(name: string): Kind {
    const kind = this.#kinds.get(name);
    if (kind === undefined) throw new Error(`Expected a limit for the entries of "${name}", got none`);
    return kind;
  }
}

/** `state`: where it keeps its entries, for who wants to look into it. */
export function createMemoryStateStore(options: MemoryStateOptions, state = new MemoryState(options)): StateStore {
  return {
    prepare: () => Promise.resolve(),
    load: (keys, known) => Promise.resolve(state.load(keys, known)),
    commit(changes, read): Promise<CommitResult> {
      if (!state.isUnchanged(read)) return Promise.resolve({ outcome: 'conflict' });
      return Promise.resolve(committed(state, changes, state.applyChanges(changes)));
    },
    due: (kind, beforeMs, limit) => Promise.resolve(state.due(kind, beforeMs, limit)),
    count: (kind) => Promise.resolve(state.count(kind)),
    countDeadlines: (kind) => Promise.resolve(state.countDeadlines(kind)),
  };
}

/** `evicted`: the keys that had to make room. */
export function committed(state: MemoryState, changes: readonly StateChange[], evicted: readonly string[]): Committed {
  const entries = [...state.load(changes.map(({ key }) => key))].map(
    ([key, entry]) => [key, entry === null ? null : withoutValue(entry)] as const,
  );
  return { outcome: 'committed', evicted: countByKind(evicted), entries: new Map(entries) };
}

function withoutValue({ version, deadlineMs }: StoredEntry): StoredEntry {
  return { value: null, version, deadlineMs };
}

function countByKind(keys: readonly string[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const key of keys) counts.set(kindOf(key), (counts.get(kindOf(key)) ?? 0) + 1);
  return counts;
}
