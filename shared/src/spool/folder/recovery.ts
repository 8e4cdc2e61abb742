/**
 * What is to be done with a log as a start finds it: pure decisions over what segments and cursors say.
 * recover-folder.ts reads the folder and acts.
 *
 * The rules: what lies intact on the disk is delivered or was delivered; what is not there any more, and not everybody
 * had it, is reported; no position is given out twice.
 */

/** A file that is named like a segment. */
export interface FoundSegment {
  readonly name: string;
  /** The position in its name. */
  readonly first: number;
  readonly size: number;
  /** The position in its first record; undefined when that is damaged, or there is none. */
  readonly firstRecord: number | undefined;
  /** How many of its records are intact; only counted where another file begins with the same record. */
  readonly intact?: number;
}

export interface SegmentPlan {
  /** Oldest first, with the positions that their records say. `name` is the one that the file has now. */
  readonly segments: readonly Pick<FoundSegment, 'name' | 'first' | 'size'>[];
  /** Files that have the wrong name. */
  readonly rename: readonly { readonly name: string; readonly first: number }[];
  /** Copies of segments that are there; of several the one with the most intact records is the segment. */
  readonly setAside: readonly string[];
}

/**
 * The files that begin with the same record, one list for each first record. A file goes by what is in it; where its
 * beginning is damaged, by its name.
 */
export function groupCopies(found: readonly FoundSegment[]): ReadonlyMap<number, readonly FoundSegment[]> {
  const groups = new Map<number, FoundSegment[]>();
  for (const one of found) {
    const first = one.firstRecord ?? one.first;
    groups.set(first, [...(groups.get(first) ?? []), one]);
  }
  return groups;
}

/** Files that were copied or renamed are told by their first record. */
export function planSegments(found: readonly FoundSegment[]): SegmentPlan {
  const segments: Pick<FoundSegment, 'name' | 'first' | 'size'>[] = [];
  const rename: { name: string; first: number }[] = [];
  const setAside: string[] = [];
  for (const [first, copies] of groupCopies(found)) {
    const [best, ...others] = [...copies].sort(
      (a, b) => (b.intact ?? 0) - (a.intact ?? 0) || Number(b.first === first) - Number(a.first === first),
    );
    if (best === undefined) continue;
    segments.push({ name: best.name, first, size: best.size });
    if (best.first !== first) rename.push({ name: best.name, first });
    for (const { name } of others) setAside.push(name);
  }
  return { segments: segments.sort((a, b) => a.first - b.first), rename, setAside };
}

/** What `cursors.json` says. */
export type SavedCursors =
  | { readonly state: 'absent' }
  | { readonly state: 'damaged' }
  | {
      readonly state: 'intact';
      /** The newest record when it was written. */
      readonly last: number;
      readonly positions: ReadonlyMap<string, number>;
    };

/** The newest segment as it was read through. */
export interface ScannedSegment {
  readonly first: number;
  /** Position of its last intact record; `first - 1` when it has none. */
  readonly last: number;
  /** Where that ends. */
  readonly end: number;
  readonly size: number;
}

export interface LostRecords {
  readonly from: number;
  readonly to: number;
  /** Cursors that had not passed them. */
  readonly cursors: readonly string[];
}

export interface RecoveryPlan {
  /** Position of the next record. */
  readonly next: number;
  /** What follows the last intact record of the newest segment. */
  readonly tail: { readonly bytes: number; readonly isProvenRecords: boolean } | undefined;
  readonly cursors: ReadonlyMap<string, number>;
  /** The positions are lost: each cursor begins at the oldest record, whatever its reader would like. */
  readonly beginsAtOldest: boolean;
  readonly lost: readonly LostRecords[];
}

/** `oldest`: position of the oldest record that is there. */
export function planRecovery(oldest: number, newest: ScannedSegment | undefined, saved: SavedCursors): RecoveryPlan {
  const positions = saved.state === 'intact' ? saved.positions : new Map<string, number>();
  const lastThere = newest?.last ?? oldest - 1;
  const lastProven = saved.state === 'intact' ? Math.max(saved.last, newestOf(positions)) : 0;
  const last = Math.max(lastThere, lastProven);
  const tailBytes = newest === undefined ? 0 : newest.size - newest.end;

  const cursors = new Map([...positions].map(([name, committed]) => [name, Math.max(committed, oldest - 1)]));
  const lost = [
    lostOf(positions, Math.min(oldest, oldestOf(positions) + 1), oldest - 1),
    lostOf(cursors, lastThere + 1, lastProven),
  ];
  return {
    next: last + 1,
    tail: tailBytes === 0 ? undefined : { bytes: tailBytes, isProvenRecords: lastProven > lastThere },
    cursors,
    beginsAtOldest: newest !== undefined && saved.state !== 'intact',
    lost: lost.filter((one) => one !== undefined),
  };
}

function lostOf(positions: ReadonlyMap<string, number>, from: number, to: number): LostRecords | undefined {
  const cursors = [...positions].filter(([, committed]) => committed < to).map(([name]) => name);
  return from > to || cursors.length === 0 ? undefined : { from, to, cursors };
}

function newestOf(positions: ReadonlyMap<string, number>): number {
  let newest = 0;
  for (const committed of positions.values()) newest = Math.max(newest, committed);
  return newest;
}

function oldestOf(positions: ReadonlyMap<string, number>): number {
  let oldest = Infinity;
  for (const committed of positions.values()) oldest = Math.min(oldest, committed);
  return oldest;
}
