/**
 * The rules of the ledger on plain data: what an observation adds, and whether it makes an announcement due. No input, no output; the time is
 * an argument. The file ledger runs on it; `record-crashes-1.lua` says the same for Redis, and the contract suite compares the two.
 */
import { makeAlertId } from '../alert-id.ts';
import { locateLoop } from './join-lineages.ts';
import { crashCap, type Decision, type Observation, type Recorded, type Rule } from '../ledger.ts';
import { detailsOf, endLoop, type LedgerState, type LoopState } from './ledger-state.ts';
import { numberRestarts, type FoundCrash, type NumberRange, type Sighting } from './number-restarts.ts';

export interface Outcome {
  readonly decision: Decision;
  /** False when the state is as it was. */
  readonly changed: boolean;
}

/** Applies the observation to `state` and says what is to be done. */
export function decide(state: LedgerState, observation: Observation, rule: Rule, nowUs: number): Outcome {
  const { key, loop, forgotten, changed: located } = locateLoop(state, observation, nowUs);
  const intervalUs = rule.intervalMs * 1000;
  const task = `${observation.allocation}/${observation.task}`;
  const known = loop.ranges.get(task);
  const sighting = numberRestarts(observation, known, crashCap(rule));
  if (sighting.range !== undefined) loop.ranges.set(task, sighting.range);

  const before = loop.newestUs;
  const newestFound = sighting.found.reduce((newest, { timeUs }) => Math.max(newest, timeUs), -1);
  const newest = Math.max(before, newestFound);
  if (hasGap(sighting.found, before, intervalUs)) endLoop(state, key, loop);
  loop.newestUs = newest;
  const { recorded, changed } = recordCrashes(loop, sighting, newest - intervalUs);
  loop.window.trim(newest - intervalUs, crashCap(rule));
  const shown = show(loop, observation, rule, newestFound);
  const due = announcementDue(key, loop, observation, rule, recorded);
  if (loop.opening !== null) {
    state.open.add(key);
    if (newest > before || due.isNew) loop.expiresAtUs = nowUs + Math.max(0, newest + intervalUs - Math.max(newest, observation.modifiedAtUs));
  }
  const numbered = !isSameRange(known, sighting.range);
  return { decision: withForgotten(due.decision, forgotten), changed: located || numbered || changed || newest > before || shown || due.isNew };
}

function withForgotten(decision: Decision, forgotten: number): Decision {
  return forgotten === 0 ? decision : { ...decision, recorded: { ...decision.recorded, forgotten } };
}

function isSameRange(a: NumberRange | undefined, b: NumberRange | undefined): boolean {
  return a === b || (a !== undefined && b !== undefined && a.epoch === b.epoch && a.low === b.low && a.high === b.high && a.newestUs === b.newestUs);
}

function recordCrashes({ window }: LoopState, { found, requested, newlyRequested }: Sighting, oldestUs: number): { recorded: Recorded; changed: boolean } {
  const recorded = { restarts: 0, hidden: 0, failures: 0, requested: newlyRequested, forgotten: 0 };
  let changed = false;
  for (const id of requested) changed = window.delete(id) || changed;
  for (const { id, timeUs, detail, kind } of found) {
    if (timeUs <= oldestUs) continue;
    const before = window.get(id);
    const hidden = kind === 'hidden';
    if (before === undefined) recorded[kind] += 1;
    else if (hidden || (!before.hidden && timeUs >= before.timeUs)) continue;
    window.put({ id, timeUs, detail, hidden });
    changed = true;
  }
  return { recorded, changed };
}

/** Whether an interval without a crash lies between the newest crash so far and those found: then the loop had ended. */
function hasGap(found: readonly FoundCrash[], newestBefore: number, intervalUs: number): boolean {
  let previous = newestBefore;
  for (const timeUs of found.map((crash) => crash.timeUs).toSorted((a, b) => a - b)) {
    if (timeUs <= previous) continue;
    if (timeUs - previous >= intervalUs) return true;
    previous = timeUs;
  }
  return false;
}

/** Keeps how the loop is shown while it has enough crashes. */
function show(loop: LoopState, { lastEvent, place }: Observation, rule: Rule, newestFound: number): boolean {
  if (lastEvent === null || loop.window.size < rule.count || newestFound <= (loop.shown?.atUs ?? -1)) return false;
  loop.shown = { lastEvent, place, intervalMs: rule.intervalMs, atUs: newestFound };
  return true;
}

interface Due {
  readonly decision: Decision;
  /** Whether a claim was made. */
  readonly isNew: boolean;
}

function announcementDue(key: string, loop: LoopState, observation: Observation, rule: Rule, recorded: Recorded): Due {
  const { claim, opening, newestUs } = loop;
  const none: Due = { decision: { action: 'none', recorded }, isNew: false };
  if (claim?.eventId === observation.eventId && !claim.confirmed) return { decision: announce(loop, observation, recorded), isNew: false };
  if (loop.window.size < rule.count || loop.shown === null) return none;
  if (opening === null && newestUs <= loop.endedUs) return none;
  if (opening !== null && claim !== null && newestUs - claim.announcedAtUs < rule.notificationIntervalMs * 1000) return none;
  if (observation.modifiedAtUs - newestUs >= rule.intervalMs * 1000) {
    const isNew = recorded.restarts + recorded.hidden + recorded.failures > 0;
    return isNew ? { decision: { action: 'late', recorded }, isNew: false } : none;
  }
  loop.opening ??= { loop: key, atUs: newestUs };
  loop.claim = { eventId: observation.eventId, opening: loop.opening, announcedAtUs: newestUs, status: loop.announced ? 'ongoing' : 'opened', confirmed: false };
  return { decision: announce(loop, observation, recorded), isNew: true };
}

function announce(loop: LoopState, { eventId, group, followLineage, allocation }: Observation, recorded: Recorded): Decision {
  if (loop.claim === null || loop.shown === null) return { action: 'none', recorded };
  const { opening, announcedAtUs, status } = loop.claim;
  const claim = { alertId: makeAlertId(opening.loop, opening.atUs), group, allocation: followLineage ? allocation : null, eventId, openedAtUs: opening.atUs, announcedAtUs };
  return { action: 'announce', status, recorded, claim, count: loop.window.size, crashes: detailsOf(loop), lastEvent: loop.shown.lastEvent };
}
