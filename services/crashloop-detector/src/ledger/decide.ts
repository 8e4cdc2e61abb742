/**
 * The rules of the ledger on plain data: what an observation adds, and whether it makes an announcement due. No input, no output, no clock.
 * The file ledger runs on it; `record-crashes-1.lua` says the same for Redis, and the contract suite compares the two.
 */
import { crashCap, type Claim, type Decision, type Observation, type ObservedCrash, type Recorded, type Rule } from './ledger.ts';

export interface CrashRecord {
  timeUs: number;
  detail: string;
  /** Not seen itself: it lies between restarts that were. */
  hidden: boolean;
}

export interface LoopState {
  readonly crashes: Map<string, CrashRecord>;
  /** Time of the newest crash ever recorded; -1: none. */
  newestUs: number;
  lastEvent: string;
  lastEventAtUs: number;
  /** Set while a loop is open. */
  openedAtUs: number | null;
  claim: (Claim & { readonly status: 'opened' | 'ongoing'; readonly confirmed: boolean }) | null;
}

export interface AllocationState {
  parent: string | null;
  /** By task, the restarts accounted for: all numbers from low to high. */
  readonly known: Map<string, { readonly low: number; readonly high: number }>;
}

export interface LedgerState {
  readonly allocations: Map<string, AllocationState>;
  readonly loops: Map<string, LoopState>;
}

export interface Outcome {
  readonly decision: Decision;
  /** Full key of the loop. */
  readonly loop: string;
  /** False when the state is as it was. */
  readonly changed: boolean;
}

interface Found extends ObservedCrash {
  readonly id: string;
  readonly kind: keyof Omit<Recorded, 'requested'>;
}

interface Sighting {
  readonly found: readonly Found[];
  /** Identities of restarts that are proven to be requested. */
  readonly requested: readonly string[];
  readonly newlyRequested: number;
  readonly changed: boolean;
}

export function emptyLedger(): LedgerState {
  return { allocations: new Map(), loops: new Map() };
}

/** Applies the observation to `state` and says what is to be done. */
export function decide(state: LedgerState, observation: Observation, rule: Rule): Outcome {
  const linked = observation.followLineage && keepLinks(state, observation);
  const loop = observation.followLineage ? `${observation.group}/${rootOf(state, observation.allocation)}` : observation.group;
  const sighting = take(state, observation, crashCap(rule));
  const loopState = loopOf(state, loop);
  const before = loopState.newestUs;
  const newestFound = sighting.found.reduce((newest, { timeUs }) => Math.max(newest, timeUs), -1);
  const newest = Math.max(before, newestFound);

  const { recorded, changed } = recordCrashes(loopState, sighting, newest - rule.intervalMs * 1000);
  if (newest > before) {
    if (hasGap(sighting.found, before, rule.intervalMs * 1000)) loopState.openedAtUs = null;
    loopState.newestUs = newest;
  }
  const shown = observation.lastEvent !== null && newestFound > loopState.lastEventAtUs;
  if (shown && observation.lastEvent !== null) {
    loopState.lastEvent = observation.lastEvent;
    loopState.lastEventAtUs = newestFound;
  }
  trim(loopState, newest - rule.intervalMs * 1000, crashCap(rule));
  const claimBefore = loopState.claim;
  const decision = announcementDue(loopState, loop, observation, rule, recorded);
  return { decision, loop, changed: linked || sighting.changed || changed || newest > before || shown || loopState.claim !== claimBefore };
}

/** Marks the claim as announced; false when another has taken its place or it was marked before. */
export function confirmClaim(state: LedgerState, claim: Pick<Claim, 'loop' | 'eventId' | 'announcedAtUs'>): boolean {
  const loop = state.loops.get(claim.loop);
  if (loop === undefined || loop.claim === null || loop.claim.confirmed) return false;
  if (loop.claim.eventId !== claim.eventId || loop.claim.announcedAtUs !== claim.announcedAtUs) return false;
  loop.claim = { ...loop.claim, confirmed: true };
  return true;
}

function allocationOf(state: LedgerState, key: string): AllocationState {
  const existing = state.allocations.get(key);
  if (existing !== undefined) return existing;
  const made: AllocationState = { parent: null, known: new Map() };
  state.allocations.set(key, made);
  return made;
}

function loopOf(state: LedgerState, key: string): LoopState {
  const existing = state.loops.get(key);
  if (existing !== undefined) return existing;
  const made: LoopState = { crashes: new Map(), newestUs: -1, lastEvent: '', lastEventAtUs: -1, openedAtUs: null, claim: null };
  state.loops.set(key, made);
  return made;
}

function keepLinks(state: LedgerState, { links }: Observation): boolean {
  let changed = false;
  for (const { child, parent } of links) {
    if (child === parent) continue;
    const allocation = allocationOf(state, child);
    if (allocation.parent !== null) continue;
    allocation.parent = parent;
    changed = true;
  }
  return changed;
}

/** Follows the links up, and shortens the way for the next time. */
function rootOf(state: LedgerState, allocation: string): string {
  const walked = new Set([allocation]);
  const visited: AllocationState[] = [];
  let root = allocation;
  for (;;) {
    const current = state.allocations.get(root);
    if (current === undefined || current.parent === null || walked.has(current.parent)) break;
    visited.push(current);
    walked.add(current.parent);
    root = current.parent;
  }
  for (const child of visited) child.parent = root;
  return root;
}

/** Gives the observed crashes their identities and fills in the restarts between them and what was known. */
function take(state: LedgerState, observation: Observation, cap: number): Sighting {
  const identity = `${observation.allocation}/${observation.task}#`;
  const failed: Found[] = observation.failure === null ? [] : [{ ...observation.failure, id: `${identity}failed`, kind: 'failures' }];
  const first = observation.restarts[0];
  const last = observation.restarts.at(-1);
  if (first === undefined || last === undefined) return { found: failed, requested: [], newlyRequested: 0, changed: false };

  const { known } = allocationOf(state, observation.allocation);
  const range = known.get(observation.task);
  const { low, high } = range ?? { low: first.number, high: last.number };
  const fill = (from: number, to: number, { kind, timeUs, detail }: ObservedCrash & { kind: string }): Found[] => {
    if (kind !== 'crash') return [];
    return numbers(from, to).map((number) => ({ id: `${identity}${number}`, timeUs, detail, kind: 'hidden' }));
  };
  const found: Found[] = [
    ...fill(Math.max(high + 1, first.number - cap), first.number - 1, first),
    ...fill(last.number + 1, Math.min(low - 1, last.number + cap), last),
  ];
  const requested: string[] = [];
  let newlyRequested = 0;
  for (const { number, kind, timeUs, detail } of observation.restarts) {
    const id = `${identity}${number}`;
    if (kind === 'crash') {
      found.push({ id, timeUs, detail, kind: 'restarts' });
    } else {
      requested.push(id);
      if (range === undefined || number < low || number > high) newlyRequested += 1;
    }
  }
  const changed = range === undefined || first.number < low || last.number > high;
  if (changed) known.set(observation.task, { low: Math.min(low, first.number), high: Math.max(high, last.number) });
  return { found: [...found, ...failed], requested, newlyRequested, changed };
}

function numbers(from: number, to: number): number[] {
  return to < from ? [] : Array.from({ length: to - from + 1 }, (_, index) => from + index);
}

function recordCrashes(loop: LoopState, { found, requested, newlyRequested }: Sighting, oldestUs: number): { recorded: Recorded; changed: boolean } {
  const recorded = { restarts: 0, hidden: 0, failures: 0, requested: newlyRequested };
  let changed = false;
  for (const id of requested) changed = loop.crashes.delete(id) || changed;
  for (const { id, timeUs, detail, kind } of found) {
    if (timeUs <= oldestUs) continue;
    const before = loop.crashes.get(id);
    const hidden = kind === 'hidden';
    if (before === undefined) recorded[kind] += 1;
    else if (hidden || (!before.hidden && timeUs >= before.timeUs)) continue;
    loop.crashes.set(id, { timeUs, detail, hidden });
    changed = true;
  }
  return { recorded, changed };
}

/** Whether an interval without a crash lies between the newest crash so far and those found: then the loop had ended. */
function hasGap(found: readonly Found[], newestBefore: number, intervalUs: number): boolean {
  let previous = newestBefore;
  for (const timeUs of found.map((crash) => crash.timeUs).toSorted((a, b) => a - b)) {
    if (timeUs <= previous) continue;
    if (timeUs - previous >= intervalUs) return true;
    previous = timeUs;
  }
  return false;
}

function trim(loop: LoopState, oldestUs: number, cap: number): void {
  for (const [id, { timeUs }] of loop.crashes) {
    if (timeUs <= oldestUs) loop.crashes.delete(id);
  }
  if (loop.crashes.size <= cap) return;
  for (const [id] of inOrder(loop).slice(0, loop.crashes.size - cap)) loop.crashes.delete(id);
}

/** By time, then by identity, as a sorted set of Redis. */
function inOrder(loop: LoopState): (readonly [string, CrashRecord])[] {
  return [...loop.crashes].sort(([a, { timeUs: at }], [b, { timeUs: bt }]) => at - bt || (a < b ? -1 : 1));
}

function announcementDue(loop: LoopState, key: string, observation: Observation, rule: Rule, recorded: Recorded): Decision {
  if (loop.claim !== null && loop.claim.eventId === observation.eventId && !loop.claim.confirmed) return announce(loop, recorded);
  if (loop.crashes.size < rule.count) return { action: 'none', recorded };
  const open = loop.openedAtUs !== null && loop.claim !== null;
  if (open && loop.claim !== null && loop.newestUs - loop.claim.announcedAtUs < rule.notificationIntervalMs * 1000) return { action: 'none', recorded };
  if (observation.modifiedAtUs - loop.newestUs >= rule.intervalMs * 1000) {
    const isNew = recorded.restarts + recorded.hidden + recorded.failures > 0;
    return { action: isNew ? 'late' : 'none', recorded };
  }
  loop.openedAtUs ??= loop.newestUs;
  loop.claim = {
    loop: key,
    eventId: observation.eventId,
    openedAtUs: loop.openedAtUs,
    announcedAtUs: loop.newestUs,
    status: open ? 'ongoing' : 'opened',
    confirmed: false,
  };
  return announce(loop, recorded);
}

function announce(loop: LoopState, recorded: Recorded): Decision {
  if (loop.claim === null) return { action: 'none', recorded };
  const { status, confirmed: _, ...claim } = loop.claim;
  const crashes = inOrder(loop).map(([, { detail }]) => detail);
  return { action: 'announce', status, recorded, claim, count: crashes.length, crashes, lastEvent: loop.lastEvent };
}
