/**
 * The port of the state that rules keep: entries under text keys, changed together or not at all. A rule loads what it
 * needs, decides, and commits its changes on the condition that nothing it read has changed since. A key begins with
 * its kind (`loop/…`): entries are counted and bounded by kind. Adapters: Redis for several processes, a file for one,
 * memory for none.
 */

/** What an entry was when it was loaded. Adapters make it; callers pass it back to `commit`. */
export interface StoredEntry {
  /** Opaque to the store. Null: the caller has it. */
  readonly value: string | null;
  /** Changes with every commit of the entry, and is never the same again. */
  readonly version: string;
  /** When `due` gives it, milliseconds since 1970; null: never. */
  readonly deadlineMs: number | null;
}

/** What `load` found; null where there is no entry. */
export type LoadedEntries = ReadonlyMap<string, StoredEntry | null>;

export type StateChange =
  | {
      readonly key: string;
      readonly value: string;
      readonly deadlineMs: number | null;
      /** The entry is gone when it was not committed for so long. */
      readonly expiresInMs: number;
    }
  | { readonly key: string; readonly value: null };

export interface Committed {
  readonly outcome: 'committed';
  /** Entries that had to make room, by kind: those that were not committed for the longest time. */
  readonly evicted: ReadonlyMap<string, number>;
  /** What the changed entries are now, without their values. */
  readonly entries: LoadedEntries;
}

export type CommitResult = Committed | { readonly outcome: 'conflict' };

export interface StateStore {
  /**
   * Resolves when the stored format is known to be ours, and marks an empty store with it. Rejects with
   * `state-format-newer` when a newer Hydrant wrote it, with another error while the store is away. The other calls do
   * it themselves before anything is touched. May be called often.
   */
  prepare(): Promise<void>;
  /**
   * Resolves with each of the keys; an entry that is as in `known` comes without its value. Rejects with a retryable
   * error while the store is away, with `state-format-newer` when an entry has a newer format.
   */
  load(keys: readonly string[], known?: LoadedEntries): Promise<LoadedEntries>;
  /**
   * Applies all changes or none: none when an entry in `read` is not what it was. Every changed key must be in `read`.
   * Resolves when the changes are kept, and with them all that `read` rests on. After a retryable rejection the changes
   * may have been applied.
   */
  commit(changes: readonly StateChange[], read: LoadedEntries): Promise<CommitResult>;
  /**
   * Keys of a kind whose deadline is not after `beforeMs`, the earliest first. A key may belong to an entry that has
   * expired.
   */
  due(kind: string, beforeMs: number, limit: number): Promise<readonly string[]>;
  /** How many entries of a kind there are. May count some that have expired lately. */
  count(kind: string): Promise<number>;
  /** How many entries of a kind have a deadline. */
  countDeadlines(kind: string): Promise<number>;
}

/** Most entries by kind; the kinds must be listed. */
export type StateLimits = Readonly<Record<string, number>>;

/** The form in which entries are written. Raise it when an older Hydrant could not read them. */
export const stateFormat = 1;

export function kindOf(key: string): string {
  return key.slice(0, key.indexOf('/'));
}
