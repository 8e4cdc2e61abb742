/** What the ledger holds, as plain data: `decide.ts` and `resolve.ts` work on it, the file ledger keeps it. */
import { CrashWindow } from './crash-window.ts';
import type { Place } from '../ledger.ts';
import type { NumberRange } from './number-restarts.ts';

/** What names an alert: the key under which its loop opened, and the crash that opened it. */
export interface Opening {
  readonly loop: string;
  readonly atUs: number;
}

export interface KeptClaim {
  readonly eventId: string;
  readonly opening: Opening;
  readonly announcedAtUs: number;
  readonly status: 'opened' | 'ongoing';
  readonly confirmed: boolean;
}

/** How a loop is shown; kept only of those that have enough crashes. */
export interface Shown {
  readonly lastEvent: string;
  readonly place: Place;
  readonly intervalMs: number;
  /** Time of the crash that `lastEvent` tells of. */
  readonly atUs: number;
}

export interface LoopState {
  readonly window: CrashWindow;
  /** The restarts accounted for, by allocation and task. */
  readonly ranges: Map<string, NumberRange>;
  /** Time of the newest crash ever recorded; -1: none. */
  newestUs: number;
  /** Time of the newest crash when the last loop ended: without a newer one no other opens. -1: none ended. */
  endedUs: number;
  /** Set while a loop is open. */
  opening: Opening | null;
  /** Whether an announcement of the open loop was confirmed. */
  announced: boolean;
  /** When the open loop ends unless a crash comes, by the ledger's clock. */
  expiresAtUs: number;
  claim: KeptClaim | null;
  shown: Shown | null;
  /** Last news, by the ledger's clock. */
  touchedUs: number;
}

export interface AllocationState {
  parent: string | null;
  /** By group, the root that was found last. */
  readonly roots: Map<string, string>;
  touchedUs: number;
}

/** The end of a loop that is not announced yet. */
export interface EndedLoop {
  readonly opening: Opening;
  readonly loop: string;
  readonly newestUs: number;
  readonly crashes: readonly string[];
  readonly shown: Shown;
  /** Until then it belongs to the one that took it, by the ledger's clock. */
  readonly takenUntilUs: number;
}

export interface LedgerState {
  readonly allocations: Map<string, AllocationState>;
  /** The one with the oldest news first. */
  readonly loops: Map<string, LoopState>;
  /** Keys of the loops that are open. */
  readonly open: Set<string>;
  /** In the order in which they ended, by key and opening. */
  readonly ended: Map<string, EndedLoop>;
  readonly maxLineages: number;
}

export function emptyLedger(maxLineages: number): LedgerState {
  return { allocations: new Map(), loops: new Map(), open: new Set(), ended: new Map(), maxLineages };
}

export function emptyLoop(): LoopState {
  return {
    window: new CrashWindow(), ranges: new Map(), newestUs: -1, endedUs: -1, opening: null, announced: false, expiresAtUs: 0, claim: null, shown: null, touchedUs: 0,
  };
}

export function endedKey({ loop, atUs }: Opening): string {
  return `${atUs} ${loop}`;
}

export function keepEnded(state: LedgerState, ended: EndedLoop): void {
  state.ended.set(endedKey(ended.opening), ended);
}

/** Closes the loop. Its end is to be announced when its beginning was; otherwise the claim goes on waiting for its event. */
export function endLoop(state: LedgerState, key: string, loop: LoopState): void {
  const { opening, shown, announced, newestUs } = loop;
  if (opening === null) return;
  loop.opening = null;
  loop.announced = false;
  loop.endedUs = newestUs;
  state.open.delete(key);
  if (!announced || shown === null) return;
  keepEnded(state, { opening, loop: key, newestUs, crashes: detailsOf(loop), shown, takenUntilUs: 0 });
  if (loop.claim?.confirmed === true) loop.claim = null;
  loop.shown = null;
}

export function detailsOf(loop: LoopState): string[] {
  return loop.window.records.map(({ detail }) => detail);
}

/** Drops what had no news since. */
export function forgetBefore(state: LedgerState, oldestUs: number): void {
  for (const [key, { touchedUs }] of state.loops) if (touchedUs < oldestUs) forgetLoop(state, key);
  for (const [key, { touchedUs }] of state.allocations) if (touchedUs < oldestUs) state.allocations.delete(key);
}

export function forgetLoop(state: LedgerState, key: string): void {
  state.loops.delete(key);
  state.open.delete(key);
}
