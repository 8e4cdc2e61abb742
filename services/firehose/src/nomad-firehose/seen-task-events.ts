/**
 * Which task events of an allocation were already told of. Nomad shows the last ten of each task again with every
 * change of the allocation. A frame that was not taken over has told of nothing: what it showed is held apart until
 * `settle`.
 */

/** Tells one task event from the others of its task. */
export type Fingerprint = number;

export interface SeenTaskEvents {
  /** Takes note of what an allocation shows now, by task; gives back what it had not shown before. */
  note(
    allocation: string,
    shown: ReadonlyMap<string, readonly Fingerprint[]>,
  ): ReadonlyMap<string, ReadonlySet<Fingerprint>>;
  /** What was noted since the last `settle` or `forget` was taken over. */
  settle(): void;
  /** What was noted since then was not. */
  forget(): void;
  /** Allocations that are remembered. */
  readonly size: number;
}

type Shown = ReadonlyMap<string, readonly Fingerprint[]>;

const nothing: Shown = new Map();

/** Remembers the `maxAllocations` that changed last; of one that was forgotten all task events are new again. */
export function createSeenTaskEvents(maxAllocations: number): SeenTaskEvents {
  const settled = new Map<string, Shown>();
  let noted = new Map<string, Shown>();

  return {
    note(allocation, shown) {
      const before = noted.get(allocation) ?? settled.get(allocation) ?? nothing;
      noted.set(allocation, shown);
      const added = new Map<string, ReadonlySet<Fingerprint>>();
      for (const [task, fingerprints] of shown) {
        const known = before.get(task) ?? [];
        const unknown = fingerprints.filter((fingerprint) => !known.includes(fingerprint));
        if (unknown.length > 0) added.set(task, new Set(unknown));
      }
      return added;
    },
    settle() {
      for (const [allocation, shown] of noted) {
        settled.delete(allocation);
        settled.set(allocation, shown);
      }
      for (const oldest of settled.keys()) {
        if (settled.size <= maxAllocations) break;
        settled.delete(oldest);
      }
      noted = new Map();
    },
    forget() {
      noted = new Map();
    },
    get size() {
      return settled.size;
    },
  };
}
