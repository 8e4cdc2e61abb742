/**
 * What the beginning of a resumed stream proves. Nomad never says that it dropped frames; it starts at the closest frame it still has, so
 * the first frame has to be the very one that was asked for. Healing from the lists comes on top of this decision and is not done here.
 */
export type GapReason =
  /** Topics or namespace differ from those of the checkpoint. */
  | 'filter-changed'
  /** Nomad's buffer has moved on past the frame that was asked for. */
  | 'evicted'
  /** The server has no frame to show: new, or restored from a snapshot. */
  | 'not-in-buffer'
  /** The server is behind the checkpoint: lagging, replaying its log, or another cluster. */
  | 'index-went-back';

export const gapReasons: readonly GapReason[] = ['filter-changed', 'evicted', 'not-in-buffer', 'index-went-back'];

export interface StreamBeginning {
  /** The index that was asked for: that of the last frame received, or of the checkpoint. Undefined at the first start. */
  readonly resumedAt: number | undefined;
  /** Index of the first frame, or that none came soon after the stream was open. */
  readonly first: number | 'nothing';
  /** The checkpoint was made with other topics or another namespace. */
  readonly isFilterChanged: boolean;
}

export type GapDecision = { readonly kind: 'first-start' } | { readonly kind: 'contiguous' } | { readonly kind: 'gap'; readonly reason: GapReason };

export function decideGap({ resumedAt, first, isFilterChanged }: StreamBeginning): GapDecision {
  if (resumedAt === undefined) return { kind: 'first-start' };
  if (isFilterChanged) return { kind: 'gap', reason: 'filter-changed' };
  if (first === 'nothing') return { kind: 'gap', reason: 'not-in-buffer' };
  if (first === resumedAt) return { kind: 'contiguous' };
  return { kind: 'gap', reason: first > resumedAt ? 'evicted' : 'index-went-back' };
}
