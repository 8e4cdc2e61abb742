/**
 * What becomes of a firehose by what it hears of the lease. Pure: it is told the time.
 *
 * standby: another one leads, or nobody knows who. It reads nothing and publishes nothing. leader: it was granted the
 * lease, and by its own clocks it still has it. paused: it led until the lease ended unrenewed, and has not heard of
 * another leader. It reads on and publishes nothing.
 *
 * standby → leader (granted) · leader → paused (time) → leader (granted) · leader, paused → standby (another one holds
 * it).
 */
export interface Moment {
  readonly monotonicMs: number;
  readonly wallMs: number;
}

export type LeaseState =
  /** `leader` is undefined until the store has named one. */
  | { readonly role: 'standby'; readonly leader: string | undefined }
  /** `since`: when the request was sent that was granted last. The store began to count later. */
  | { readonly role: 'leader'; readonly token: string; readonly since: Moment }
  | { readonly role: 'paused' };

export type LeaseNews =
  | { readonly kind: 'granted'; readonly token: string; readonly askedAt: Moment }
  | { readonly kind: 'held'; readonly by: string }
  /** Nothing was heard; time went on. */
  | { readonly kind: 'silence' };

/** `follows`: a standby learns whom it stands by for. `pauses`, `resumes`, `deposed`: as in the head of this file. */
export type LeaseChange = 'leads' | 'follows' | 'pauses' | 'resumes' | 'deposed';

export interface LeaseDecision {
  readonly state: LeaseState;
  readonly change?: LeaseChange;
}

/**
 * Whether what was granted at `since` is held at `now`. The monotonic clock stands still while a machine is suspended,
 * so the wall clock is asked, too: when that one jumps, the lease ends early and is prolonged a moment later.
 */
export function isWithin(since: Moment, now: Moment, lastsMs: number): boolean {
  return now.monotonicMs - since.monotonicMs < lastsMs && now.wallMs - since.wallMs < lastsMs;
}

export function decideLease(state: LeaseState, news: LeaseNews, now: Moment, lastsMs: number): LeaseDecision {
  switch (news.kind) {
    case 'held':
      if (state.role !== 'standby') return { state: { role: 'standby', leader: news.by }, change: 'deposed' };
      return state.leader === news.by ? { state } : { state: { role: 'standby', leader: news.by }, change: 'follows' };
    case 'granted': {
      // A reply that was too long on its way proves nothing; the next one will.
      if (!isWithin(news.askedAt, now, lastsMs)) return decideSilence(state, now, lastsMs);
      const next: LeaseState = { role: 'leader', token: news.token, since: news.askedAt };
      if (state.role === 'leader') return { state: next };
      return { state: next, change: state.role === 'paused' ? 'resumes' : 'leads' };
    }
    case 'silence':
      return decideSilence(state, now, lastsMs);
  }
}

function decideSilence(state: LeaseState, now: Moment, lastsMs: number): LeaseDecision {
  if (state.role !== 'leader' || isWithin(state.since, now, lastsMs)) return { state };
  return { state: { role: 'paused' }, change: 'pauses' };
}
