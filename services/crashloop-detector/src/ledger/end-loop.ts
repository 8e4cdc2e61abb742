/**
 * The end of a loop: closes it, and makes what is to be announced of it. Also confirmations, which may come after the
 * end.
 */
import { makeAlertId } from './alert-id.ts';
import {
  resolvedLeaseMs,
  type Claim,
  type EndReason,
  type OpenLoop,
  type Place,
  type ResolvedClaim,
} from './ledger.ts';
import { detailsOf, type LoopState, type Opening } from './loop-state.ts';

/** The end of a loop that is not announced yet. */
export interface EndedLoop {
  readonly opening: Opening;
  readonly loop: string;
  readonly newestUs: number;
  readonly crashes: readonly string[];
  readonly lastEvent: string;
  readonly place: Place;
  readonly intervalMs: number;
  readonly reason: EndReason;
}

/**
 * Closes the loop. Its end is to be announced when its beginning was; otherwise the claim goes on waiting for its
 * event.
 */
export function endLoop(loop: LoopState, key: string, reason: EndReason): EndedLoop | null {
  const { opening, announced, newestUs } = loop;
  if (opening === null) return null;
  loop.opening = null;
  loop.announced = false;
  loop.endedUs = newestUs;
  if (!announced) return null;
  const ended = makeEnded(loop, { key, opening, newestUs, reason });
  if (ended === null) return null;
  if (loop.claim?.confirmed === true) loop.claim = null;
  loop.shown = null;
  return ended;
}

/**
 * Ends the loop when its deadline has passed. One whose announcement is on the way is looked at again after the lease.
 */
export function endWhenDue(
  loop: LoopState,
  key: string,
  nowUs: number,
): { readonly changed: boolean; readonly ended: EndedLoop | null } {
  if (loop.opening === null) return { changed: true, ended: null };
  if (loop.deadlineUs > nowUs) return { changed: false, ended: null };
  if (loop.announced) return { changed: true, ended: endLoop(loop, key, loop.endReason) };
  loop.deadlineUs = nowUs + resolvedLeaseMs * 1000;
  return { changed: true, ended: null };
}

/** Marks the claim as announced. Not when another has taken its place or it was marked before. */
export function confirmClaim(
  loop: LoopState,
  key: string,
  { alertId, eventId, announcedAtUs }: Claim,
): { readonly changed: boolean; readonly ended: EndedLoop | null } {
  const { claim, opening } = loop;
  if (
    claim === null ||
    claim.confirmed ||
    claim.eventId !== eventId ||
    claim.announcedAtUs !== announcedAtUs ||
    idOf(claim.opening) !== alertId
  )
    return { changed: false, ended: null };
  loop.claim = { ...claim, confirmed: true };
  if (opening !== null && tokenOf(opening) === tokenOf(claim.opening)) {
    loop.announced = true;
    return { changed: true, ended: null };
  }
  // The loop ended while its announcement was on the way.
  return {
    changed: true,
    ended: makeEnded(loop, { key, opening: claim.opening, newestUs: loop.endedUs, reason: loop.endReason }),
  };
}

export function tokenOf({ loop, atUs }: Opening): string {
  return `${atUs} ${loop}`;
}

export function makeResolvedClaim(ended: EndedLoop): ResolvedClaim {
  const { opening, loop, newestUs, crashes, lastEvent, place, intervalMs, reason } = ended;
  return {
    alertId: idOf(opening),
    loop,
    openedAtUs: opening.atUs,
    newestUs,
    count: crashes.length,
    crashes,
    lastEvent,
    place,
    token: tokenOf(opening),
    intervalMs,
    reason,
  };
}

/** Null when it is not open, or not announced. */
export function makeOpenLoop(loop: LoopState, key: string): OpenLoop | null {
  const { opening, announced, newestUs, shown } = loop;
  if (opening === null || !announced || shown === null) return null;
  const crashes = detailsOf(loop);
  return {
    alertId: idOf(opening),
    loop: key,
    openedAtUs: opening.atUs,
    newestUs,
    count: crashes.length,
    crashes,
    lastEvent: shown.lastEvent,
    place: shown.place,
  };
}

function makeEnded(
  loop: LoopState,
  {
    key,
    opening,
    newestUs,
    reason,
  }: { readonly key: string; readonly opening: Opening; readonly newestUs: number; readonly reason: EndReason },
): EndedLoop | null {
  const { shown } = loop;
  if (shown === null) return null;
  return {
    opening,
    loop: key,
    newestUs,
    crashes: detailsOf(loop),
    lastEvent: shown.lastEvent,
    place: shown.place,
    intervalMs: shown.rule.intervalMs,
    reason,
  };
}

function idOf({ loop, atUs }: Opening): string {
  return makeAlertId(loop, atUs);
}
