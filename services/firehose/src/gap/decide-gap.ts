/**
 * What the beginning of a resumed stream proves. Nomad never says that it dropped frames; it starts at the closest
 * frame it still has, so the first frame has to be the very one that was asked for.
 */
import type { LeaderIndex } from './leader-index.ts';

export type GapReason =
  /** Topics or namespace differ from those of the checkpoint. */
  | 'filter-changed'
  /** Nomad's buffer has moved on past the frame that was asked for. */
  | 'evicted'
  /** The server has no frame to show: new, or restored from a snapshot. */
  | 'not-in-buffer'
  /** The leader itself is behind the checkpoint: the cluster was built anew. */
  | 'rebuilt'
  /** The stream stays behind the checkpoint, and no list proves that the leader is as well. */
  | 'index-went-back'
  /** Lists are older than what was published: an operator restored a snapshot of Nomad. */
  | 'restored'
  /** A line that could not be read was skipped. */
  | 'malformed-line';

export const gapReasons: readonly GapReason[] = [
  'filter-changed',
  'evicted',
  'not-in-buffer',
  'rebuilt',
  'index-went-back',
  'restored',
  'malformed-line',
];

export interface StreamBeginning {
  /**
   * The index that was asked for: that of the last frame received, or of the checkpoint. Undefined at the first start.
   */
  readonly resumedAt: number | undefined;
  /** Index of the first frame, or that none came soon after the stream was open. */
  readonly first: number | 'nothing';
}

export interface Gap {
  readonly kind: 'gap';
  readonly reason: GapReason;
  /** What changed after this index may have been missed; 0: everything. */
  readonly since: number;
}

export type GapDecision =
  | { readonly kind: 'first-start' }
  | { readonly kind: 'contiguous' }
  /** The first frame is older than what was asked for: the leader's index decides, see `decideBehind`. */
  | { readonly kind: 'behind' }
  | Gap;

export function decideGap({ resumedAt, first }: StreamBeginning): GapDecision {
  if (resumedAt === undefined) return { kind: 'first-start' };
  if (first === 'nothing') return { kind: 'gap', reason: 'not-in-buffer', since: 0 };
  if (first === resumedAt) return { kind: 'contiguous' };
  if (first < resumedAt) return { kind: 'behind' };
  return { kind: 'gap', reason: 'evicted', since: resumedAt };
}

export type BehindDecision =
  /** The server lags or replays its log: what it sends up to the checkpoint is known. */
  | { readonly kind: 'lagging' }
  /**
   * The checkpoint was read from an address that is none of ours, so this is another Nomad rather than the same one
   * built anew.
   */
  | { readonly kind: 'foreign' }
  /** It is taken for lagging until it has had the time to catch up. */
  | { readonly kind: 'undecided' }
  | Gap;

/**
 * A stream that begins before the checkpoint. `leader` is what the leader's lists tell; undefined when none could be
 * read. Only when they tell of every topic, a lower index of theirs proves anything: the checkpoint may be that of an
 * event of which they know nothing. `isLate`: the time to catch up is over.
 */
export function decideBehind(
  resumedAt: number,
  leader: LeaderIndex | undefined,
  { isElsewhere, isLate }: { readonly isElsewhere: boolean; readonly isLate: boolean },
): BehindDecision {
  if (leader !== undefined && leader.index >= resumedAt) return { kind: 'lagging' };
  if (leader?.isComplete !== true)
    return isLate ? { kind: 'gap', reason: 'index-went-back', since: 0 } : { kind: 'undecided' };
  return isElsewhere ? { kind: 'foreign' } : { kind: 'gap', reason: 'rebuilt', since: 0 };
}
