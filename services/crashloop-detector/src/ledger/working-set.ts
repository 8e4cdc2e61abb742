/**
 * What one commit reads and changes: entries of the state store, decoded when they are asked for. An entry that is
 * asked for and not loaded is noted, so that the caller can load it and ask again.
 */
import { HydrantError } from '@hydrant/shared/foundation/errors';
import {
  kindOf,
  type CommitResult,
  type LoadedEntries,
  type StateChange,
  type StateStore,
  type StoredEntry,
} from '@hydrant/shared/state/state-store';
import type { EndedLoop } from './end-loop.ts';
import { EntryCache } from './entry-cache.ts';
import { readLoop, writeLoop, type LoopState } from './loop-state.ts';

/** What is known of an allocation's forebears. */
export interface AllocationState {
  parent: string | null;
  /** By group, the root that was found last. */
  readonly roots: Record<string, string>;
  /** When it was written, by our clock. */
  writtenAtUs: number;
}

/** An allocation that has died and that no other is known to have replaced. */
export interface DeadAllocation {
  readonly allocation: string;
  readonly node: string;
  readonly diedAtUs: number;
}

interface Codec<T> {
  read(this: void, value: string): T;
  write(this: void, value: T): string;
}

interface Pending {
  readonly value: string | null;
  readonly deadlineMs: number | null;
  readonly expiresInMs: number;
}

export interface Keeping {
  readonly expiresInMs: number;
  readonly deadlineMs?: number | null;
}

const json = {
  read: (value: string): unknown => JSON.parse(value),
  write: (value: unknown): string => JSON.stringify(value),
};
const loops: Codec<LoopState> = { read: readLoop, write: writeLoop };
const allocations = json as Codec<AllocationState>;
const ends = json as Codec<EndedLoop>;
const names = json as Codec<readonly DeadAllocation[]>;

export class WorkingSet {
  readonly #store: StateStore;
  readonly #cache: EntryCache;
  readonly #loaded = new Map<string, StoredEntry | null>();
  /** Those that a decision rests on. */
  readonly #read = new Set<string>();
  readonly #decoded = new Map<string, unknown>();
  /** Of the values that are not held. */
  readonly #lengths = new Map<string, number>();
  readonly #pending = new Map<string, () => Pending>();
  readonly #missing = new Set<string>();

  /** Without a cache everything is loaded: for who only looks. */
  constructor(store: StateStore, cache = new EntryCache(0)) {
    this.#store = store;
    this.#cache = cache;
  }

  get hasChanges(): boolean {
    return this.#pending.size > 0;
  }

  get isMissing(): boolean {
    return this.#missing.size > 0;
  }

  async load(keys: Iterable<string>): Promise<void> {
    const wanted = [...new Set(keys)].filter((key) => !this.#loaded.has(key));
    if (wanted.length === 0) return;
    const taken = this.#cache.take(wanted);
    for (const [key, entry] of await this.#store.load(
      wanted,
      new Map([...taken].map(([key, { entry }]) => [key, entry])),
    )) {
      this.#loaded.set(key, entry);
      const known = taken.get(key);
      if (known === undefined || entry?.value !== null) continue;
      this.#decoded.set(key, known.decoded);
      this.#lengths.set(key, known.length);
    }
  }

  async loadMissing(): Promise<void> {
    await this.load(this.#missing);
    this.#missing.clear();
  }

  /** False, and noted as missing, when the entry is not loaded. */
  has(key: string): boolean {
    if (this.#loaded.has(key)) return true;
    this.#missing.add(key);
    return false;
  }

  loop(key: string): LoopState | null {
    return this.#get(`loop/${key}`, loops);
  }

  allocation(key: string): AllocationState | null {
    return this.#get(`allocation/${key}`, allocations);
  }

  dead(group: string): readonly DeadAllocation[] {
    return this.#get(`name/${group}`, names) ?? [];
  }

  end(token: string): EndedLoop | null {
    return this.#get(`end/${token}`, ends);
  }

  deadlineOf(key: string): number | null {
    return this.#loaded.get(key)?.deadlineMs ?? null;
  }

  putLoop(key: string, loop: LoopState, expiresInMs: number): void {
    this.#put(`loop/${key}`, loop, () => ({
      value: loops.write(loop),
      expiresInMs,
      deadlineMs: loop.opening === null ? null : Math.ceil(loop.deadlineUs / 1000),
    }));
  }

  putAllocation(key: string, state: AllocationState, expiresInMs: number): void {
    this.#put(`allocation/${key}`, state, () => ({ value: allocations.write(state), expiresInMs, deadlineMs: null }));
  }

  putDead(group: string, dead: readonly DeadAllocation[], expiresInMs: number): void {
    if (dead.length === 0) this.delete(`name/${group}`);
    else this.#put(`name/${group}`, dead, () => ({ value: names.write(dead), expiresInMs, deadlineMs: null }));
  }

  putEnd(token: string, ended: EndedLoop, { expiresInMs, deadlineMs = null }: Keeping): void {
    this.#put(`end/${token}`, ended, () => ({ value: ends.write(ended), expiresInMs, deadlineMs }));
  }

  delete(key: string): void {
    this.#put(key, null, () => ({ value: null, expiresInMs: 0, deadlineMs: null }));
  }

  /** n.b. Also without changes: what was decided may rest on what is still being written. */
  async commit(): Promise<CommitResult> {
    const changes = [...this.#pending].map(([key, make]): StateChange => {
      const { value, deadlineMs, expiresInMs } = make();
      return value === null ? { key, value } : { key, value, deadlineMs, expiresInMs };
    });
    const read: LoadedEntries = new Map([...this.#read].map((key) => [key, this.#loaded.get(key) ?? null]));
    const result = await this.#store.commit(changes, read);
    if (result.outcome === 'committed') {
      for (const { key, value } of changes) this.#lengths.set(key, value?.length ?? 0);
      this.#remember(result.entries);
    }
    return result;
  }

  #remember(changed: LoadedEntries): void {
    for (const [key, decoded] of this.#decoded) {
      // n.b. A loop that was looked at and not put may have been touched all the same.
      if (kindOf(key) === 'loop' && this.#read.has(key) && !this.#pending.has(key)) continue;
      const entry = changed.get(key) ?? this.#loaded.get(key) ?? null;
      const length = this.#lengths.get(key) ?? entry?.value?.length ?? 0;
      if (entry !== null && decoded !== null)
        this.#cache.keep(key, { entry: { ...entry, value: null }, decoded, length });
    }
  }

  #get<T>(key: string, codec: Codec<T>): T | null {
    this.#read.add(key);
    if (this.#decoded.has(key)) return this.#decoded.get(key) as T | null;
    const entry = this.#loaded.get(key);
    if (entry === undefined || entry?.value === null) throw new Error(`Expected "${key}" to be loaded`);
    const value = entry === null ? null : decode(key, entry.value, codec);
    this.#decoded.set(key, value);
    return value;
  }

  #put(key: string, value: unknown, make: () => Pending): void {
    this.#read.add(key);
    this.#decoded.set(key, value);
    this.#pending.set(key, make);
  }
}

function decode<T>(key: string, value: string, codec: Codec<T>): T {
  try {
    return codec.read(value);
  } catch (cause) {
    throw new HydrantError(`Expected the state under "${key}" to be what Hydrant writes, it is not: delete the entry`, {
      code: 'state-broken',
      retryable: true,
      cause,
    });
  }
}
