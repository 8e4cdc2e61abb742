/**
 * The rule of crash loops, on plain data: what an observation adds to a lineage, and whether it makes an announcement
 * due. No input, no output; the time is an argument. Production, standalone and `explain` all run on it.
 *
 * A lineage is quiet until its window holds enough crashes: then a loop opens, and is claimed for announcement by the
 * event that showed it. It stays open while crashes come, and while the task waits for its next start. It ends when the
 * task has run for the interval, when a person stopped it, or when nothing was heard of it for very long.
 */
import { makeAlertId } from './alert-id.ts';
import type { CrashRecord } from './crash-window.ts';
import { latestOf } from './latest-of.ts';
import { crashCap, type Decision, type Observation, type Recorded, type Rule, type Verdict } from './ledger.ts';
import { detailsOf, taskOf, type LoopState, type TaskRecord } from './loop-state.ts';
import { endLoop, type EndedLoop } from './end-loop.ts';
import { numberRestarts, type FoundCrash, type Sighting } from './number-restarts.ts';
import { applyStatus } from './task-states.ts';

export interface Outcome {
  readonly decision: Decision;
  /** False when the loop is as it was. */
  readonly changed: boolean;
  readonly ended: EndedLoop | null;
}

/** Clients report within about a second; what is further behind is a clock. */
const clockToleranceUs = 10_000_000;

/** Applies the observation to the loop under `key` and says what is to be done. */
export function decide(loop: LoopState, key: string, observation: Observation, rule: Rule, nowUs: number): Outcome {
  if (observation.restarts.length === 0 && observation.timed.length === 0)
    return noteStatus(loop, observation, rule, nowUs);
  const intervalUs = rule.intervalMs * 1000;
  const taskKey = `${observation.allocation}/${observation.task}`;
  const isFirstOfTask = !loop.tasks.has(taskKey);
  const task = taskOf(loop, taskKey);
  const sighting = numberRestarts(observation, task.no, task.range, crashCap(rule));

  const before = loop.newestUs;
  const newestFound = sighting.found.reduce((newest, { timeUs }) => Math.max(newest, timeUs), -1);
  const newest = Math.max(before, newestFound);
  const ended = hasRunBetween(loop, sighting.found, intervalUs) ? endLoop(loop, key, 'ran') : null;
  const isBridged = loop.opening !== null && before >= 0 && newest - before >= intervalUs;
  const clockBehindUs =
    newestFound > before ? clockBehind(loop, task, { observation, sighting, newestFound, isFirstOfTask }) : 0;
  loop.newestUs = newest;
  const { recorded, verdicts, changed } = recordCrashes(loop, sighting, { oldestUs: newest - intervalUs, observation });
  const trimmed = loop.window.trim(newest - intervalUs, crashCap(rule));
  const shown = show(loop, observation, rule, newestFound);
  const due = announcementDue(key, loop, observation, { rule, nowUs, recorded, verdicts, clockBehindUs, isBridged });
  const numbered = noteTask(task, sighting, observation);
  const stateChanged = applyStatus(loop, observation, {
    rule,
    nowUs,
    isNews: newest > before || due.isNew,
    clockBehindUs,
  });
  return {
    decision: due.decision,
    changed: ended !== null || numbered || changed || trimmed || newest > before || shown || due.isNew || stateChanged,
    ended,
  };
}

function noteStatus(loop: LoopState, observation: Observation, rule: Rule, nowUs: number): Outcome {
  const changed = applyStatus(loop, observation, { rule, nowUs, isNews: false, clockBehindUs: 0 });
  const recorded = { restarts: 0, hidden: 0, failures: 0, requested: 0, forgotten: 0 };
  return { decision: { action: 'none', recorded, verdicts: [], clockBehindUs: 0 }, changed, ended: null };
}

/** True when the task's numbers have changed. */
function noteTask(task: TaskRecord, { range }: Sighting, { modifiedAtUs }: Observation): boolean {
  const before = task.range;
  const isSame =
    before === range ||
    (before !== null &&
      range !== null &&
      before.epoch === range.epoch &&
      before.low === range.low &&
      before.high === range.high &&
      before.newestUs === range.newestUs);
  task.range = range;
  task.seenUs = Math.max(task.seenUs, modifiedAtUs);
  return !isSame;
}

/**
 * Whether the task has run for the interval between the newest crash so far and those found: then its loop had ended. A
 * pause in which it waited for its next start, or was not placed, is no such time.
 */
function hasRunBetween(loop: LoopState, found: readonly FoundCrash[], intervalUs: number): boolean {
  let previous = loop.newestUs;
  for (const { timeUs, ranUs } of found.toSorted((a, b) => a.timeUs - b.timeUs)) {
    if (timeUs <= previous) continue;
    if (timeUs - previous >= intervalUs && ran(loop, { timeUs, ranUs, previous, intervalUs })) return true;
    previous = timeUs;
  }
  return false;
}

function ran(
  loop: LoopState,
  {
    timeUs,
    ranUs,
    previous,
    intervalUs,
  }: {
    readonly timeUs: number;
    readonly ranUs: number | undefined;
    readonly previous: number;
    readonly intervalUs: number;
  },
): boolean {
  if (ranUs !== undefined) return ranUs >= intervalUs;
  if (previous !== loop.newestUs) return true;
  const states = [...loop.tasks.values()].filter(({ state }) => state !== null && state !== 'replaced');
  if (states.length === 0) return true;
  if (states.some(({ state }) => state === 'waiting' || state === 'failed')) return false;
  return states.every(({ stateSinceUs }) => timeUs - stateSinceUs >= intervalUs);
}

function recordCrashes(
  loop: LoopState,
  { found, requested, newlyRequested }: Sighting,
  { oldestUs, observation }: { readonly oldestUs: number; readonly observation: Observation },
) {
  const { window } = loop;
  const recorded = { restarts: 0, hidden: 0, failures: 0, requested: newlyRequested, forgotten: 0 };
  let changed = false;
  for (const id of requested) changed = (window.size > 0 && window.delete(id)) || changed;
  const seen = found.map((crash): Verdict => {
    const record = {
      id: crash.id,
      timeUs: crash.timeUs,
      timeNs: crash.timeNs,
      detail: crash.detail,
      hidden: crash.kind === 'hidden',
    };
    if (crash.timeUs <= oldestUs) return 'old';
    const isNewest = crash.timeUs > window.newestUs;
    // n.b. the newest may be known all the same: at an earlier time, because it was held to the clock of the servers.
    const before = isNewest && crash.isNew ? undefined : window.get(crash.id);
    if (before !== undefined && !replaces(record, before)) return 'known';
    if (before === undefined && isNewest) window.append(record);
    else window.put(record);
    if (before === undefined) recorded[crash.kind] += 1;
    changed = true;
    return before === undefined || before.hidden ? 'counted' : 'known';
  });
  let next = 0;
  const verdicts = observation.restarts.map(({ kind }): Verdict =>
    kind === 'crash' ? (seen[next++] ?? 'known') : 'requested',
  );
  return {
    recorded,
    verdicts: [...verdicts, ...observation.timed.map((): Verdict => seen[next++] ?? 'known')],
    changed,
  };
}

function replaces(record: CrashRecord, before: CrashRecord): boolean {
  return !record.hidden && (before.hidden || record.timeUs < before.timeUs);
}

interface Found {
  readonly observation: Observation;
  readonly sighting: Sighting;
  readonly newestFound: number;
  readonly isFirstOfTask: boolean;
}

/**
 * How far the client's clock is proven to be behind that of the servers: its newest crash came after something that the
 * servers saw earlier, and says that it came before it. 0: not proven.
 */
function clockBehind(
  loop: LoopState,
  task: TaskRecord,
  { observation, sighting, newestFound, isFirstOfTask }: Found,
): number {
  const { allocation, createdAtUs, followLineage, links, modifiedAtUs } = observation;
  const isNews =
    !isFirstOfTask &&
    sighting.found.some(({ timeUs, isNew, id }) => timeUs === newestFound && (isNew || id.includes('@')));
  const isSuccessor = isFirstOfTask && followLineage && links.some(({ child }) => child === allocation);
  const after = [
    createdAtUs ?? -1,
    isNews ? task.seenUs : -1,
    ...(isSuccessor ? [...loop.tasks.values()].map(({ seenUs }) => seenUs) : []),
  ];
  return latestOf(after) - newestFound > clockToleranceUs ? modifiedAtUs - newestFound : 0;
}

/** Keeps how the loop is shown while it has enough crashes, or is open. */
function show(loop: LoopState, { lastEvent, place }: Observation, rule: Rule, newestFound: number): boolean {
  if (lastEvent === null || newestFound <= (loop.shown?.atUs ?? -1)) return false;
  if (loop.window.size < rule.count && loop.opening === null) return false;
  loop.shown = {
    lastEvent,
    place,
    rule: { intervalMs: rule.intervalMs, notificationIntervalMs: rule.notificationIntervalMs },
    atUs: newestFound,
  };
  return true;
}

interface Moment {
  readonly rule: Rule;
  readonly nowUs: number;
  readonly recorded: Recorded;
  readonly verdicts: readonly Verdict[];
  readonly clockBehindUs: number;
  /** The loop is open, and its newest crash came after a wait as long as the interval. */
  readonly isBridged: boolean;
}

interface Due {
  readonly decision: Decision;
  /** Whether a claim was made. */
  readonly isNew: boolean;
}

function announcementDue(key: string, loop: LoopState, observation: Observation, moment: Moment): Due {
  const { rule, nowUs, recorded, verdicts, clockBehindUs, isBridged } = moment;
  const { claim, opening, newestUs } = loop;
  const none: Due = { decision: { action: 'none', recorded, verdicts, clockBehindUs }, isNew: false };
  if (claim?.eventId === observation.eventId && !claim.confirmed)
    return { decision: announce(loop, observation, moment), isNew: false };
  if (loop.shown === null || (loop.window.size < rule.count && !isBridged)) return none;
  if (opening === null && newestUs <= loop.endedUs) return none;
  if (opening !== null && claim !== null && !isNotificationDue(claim, newestUs, moment)) return none;
  if (nowUs - newestUs - clockBehindUs >= rule.intervalMs * 1000) {
    const isNew = recorded.restarts + recorded.hidden + recorded.failures > 0;
    return isNew ? { decision: { ...none.decision, action: 'late' }, isNew: false } : none;
  }
  loop.opening ??= { loop: key, atUs: newestUs };
  loop.claim = {
    eventId: observation.eventId,
    opening: loop.opening,
    announcedAtUs: newestUs,
    claimedAtUs: nowUs,
    status: loop.announced ? 'ongoing' : 'opened',
    confirmed: false,
  };
  return { decision: announce(loop, observation, moment), isNew: true };
}

/** By the crashes, and about so by our clock: a backlog of many intervals, read in a moment, makes one announcement. */
function isNotificationDue(
  { announcedAtUs, claimedAtUs }: { readonly announcedAtUs: number; readonly claimedAtUs: number },
  newestUs: number,
  { rule, nowUs }: Moment,
): boolean {
  const intervalUs = rule.notificationIntervalMs * 1000;
  return newestUs - announcedAtUs >= intervalUs && nowUs - claimedAtUs >= intervalUs / 2;
}

function announce(
  loop: LoopState,
  { eventId, group, followLineage, allocation }: Observation,
  { recorded, verdicts, clockBehindUs }: Moment,
): Decision {
  if (loop.claim === null || loop.shown === null) return { action: 'none', recorded, verdicts, clockBehindUs };
  const { opening, announcedAtUs, status } = loop.claim;
  const claim = {
    alertId: makeAlertId(opening.loop, opening.atUs),
    group,
    allocation: followLineage ? allocation : null,
    eventId,
    openedAtUs: opening.atUs,
    announcedAtUs,
  };
  return {
    action: 'announce',
    status,
    recorded,
    verdicts,
    clockBehindUs,
    claim,
    count: loop.window.size,
    crashes: detailsOf(loop),
    lastEvent: loop.shown.lastEvent,
  };
}
