/**
 * Entries that this process has committed, as they were decoded: the store need not send them, and nobody need read
 * them, again. Whoever takes one has it alone. It says nothing of what the store has now: the store is asked each time
 * whether the entry is still the same.
 */
import type { StoredEntry } from '@hydrant/shared/state/state-store';

export interface CachedEntry {
  readonly entry: StoredEntry;
  readonly decoded: unknown;
  /** Of the value as it is stored, characters. */
  readonly length: number;
}

export class EntryCache {
  readonly #maxLength: number;
  /** The one that was kept longest ago first. */
  readonly #entries = new Map<string, CachedEntry>();
  #length = 0;

  /** `maxLength`: of all values together, in characters. */
  constructor(maxLength: number) {
    this.#maxLength = maxLength;
  }

  take(keys: Iterable<string>): ReadonlyMap<string, CachedEntry> {
    const taken = new Map<string, CachedEntry>();
    for (const key of keys) {
      const cached = this.#entries.get(key);
      if (cached === undefined) continue;
      taken.set(key, cached);
      this.#drop(key, cached);
    }
    return taken;
  }

  keep(key: string, cached: CachedEntry): void {
    const before = this.#entries.get(key);
    if (before !== undefined) this.#drop(key, before);
    this.#entries.set(key, cached);
    this.#length += lengthOf(key, cached);
    for (const [oldest, entry] of this.#entries) {
      if (this.#length <= this.#maxLength) break;
      this.#drop(oldest, entry);
    }
  }

  #drop(key: string, cached: CachedEntry): void {
    this.#entries.delete(key);
    this.#length -= lengthOf(key, cached);
  }
}

/** About what the objects around the text take. */
const overhead = 200;

function lengthOf(key: string, { length }: CachedEntry): number {
  return key.length + length + overhead;
}
