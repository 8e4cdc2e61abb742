/** The rules of the ledger for what is already announced: confirmations, ends of loops, and what loops now. As pure as `decide.ts`. */
import { makeAlertId } from '../alert-id.ts';
import { findLoop } from './join-lineages.ts';
import { mostOpenLoops, resolvedLeaseMs, type Claim, type OpenLoop, type ResolvedClaim } from '../ledger.ts';
import { detailsOf, endedKey, endLoop, keepEnded, type EndedLoop, type KeptClaim, type LedgerState } from './ledger-state.ts';

/** Marks the claim as announced; false when another has taken its place or it was marked before. */
export function confirmClaim(state: LedgerState, { alertId, group, allocation, eventId, announcedAtUs }: Claim): boolean {
  const { key, loop } = findLoop(state, group, allocation);
  const claim = loop?.claim ?? null;
  if (loop === undefined || claim === null || claim.confirmed || claim.eventId !== eventId || claim.announcedAtUs !== announcedAtUs || idOf(claim) !== alertId) return false;
  loop.claim = { ...claim, confirmed: true };
  if (loop.opening !== null && endedKey(loop.opening) === endedKey(claim.opening)) {
    loop.announced = true;
  } else if (loop.shown !== null) {
    // The loop ended while its announcement was on the way.
    keepEnded(state, { opening: claim.opening, loop: key, newestUs: loop.endedUs, crashes: detailsOf(loop), shown: loop.shown, takenUntilUs: 0 });
  }
  return true;
}

export interface Taken {
  readonly claims: readonly ResolvedClaim[];
  /** Whether a loop was ended. */
  readonly changed: boolean;
}

export function takeResolved(state: LedgerState, nowUs: number, limit: number): Taken {
  let changed = false;
  for (const key of [...state.open]) {
    const loop = state.loops.get(key);
    if (loop === undefined || !loop.announced || loop.expiresAtUs > nowUs) continue;
    endLoop(state, key, loop);
    changed = true;
  }
  const claims: ResolvedClaim[] = [];
  for (const [key, ended] of state.ended) {
    if (claims.length === limit) break;
    if (ended.takenUntilUs > nowUs) continue;
    state.ended.set(key, { ...ended, takenUntilUs: nowUs + resolvedLeaseMs * 1000 });
    claims.push({ ...makeOpenLoop(ended), token: key, intervalMs: ended.shown.intervalMs });
  }
  return { claims, changed };
}

/** False when it was confirmed before. */
export function confirmResolved(state: LedgerState, { token }: Pick<ResolvedClaim, 'token'>): boolean {
  return state.ended.delete(token);
}

export function listOpenLoops(state: LedgerState): OpenLoop[] {
  const loops: OpenLoop[] = [];
  for (const key of state.open) {
    const loop = state.loops.get(key);
    if (loop === undefined || !loop.announced || loop.opening === null || loop.shown === null) continue;
    const { opening, newestUs, shown } = loop;
    loops.push(makeOpenLoop({ opening, loop: key, newestUs, crashes: detailsOf(loop), shown }));
  }
  return loops.sort((a, b) => a.openedAtUs - b.openedAtUs || (a.loop < b.loop ? -1 : 1)).slice(0, mostOpenLoops);
}

function makeOpenLoop({ opening, loop, newestUs, crashes, shown }: Omit<EndedLoop, 'takenUntilUs'>): OpenLoop {
  const { lastEvent, place } = shown;
  return { alertId: makeAlertId(opening.loop, opening.atUs), loop, openedAtUs: opening.atUs, newestUs, count: crashes.length, crashes, lastEvent, place };
}

function idOf({ opening }: KeptClaim): string {
  return makeAlertId(opening.loop, opening.atUs);
}
