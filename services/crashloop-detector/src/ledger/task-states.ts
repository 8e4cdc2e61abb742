/** What became of the tasks of a loop, and from it when the loop ends if nothing else is heard. */
import { latestOf } from './latest-of.ts';
import { retentionMs, type Observation, type Rule } from './ledger.ts';
import { taskOf, type LoopState, type TaskRecord } from './loop-state.ts';

interface Moment {
  readonly rule: Rule;
  readonly nowUs: number;
  /** Whether a crash came or a claim was made. */
  readonly isNews: boolean;
  /** How far the client's clock is proven to be behind. */
  readonly clockBehindUs: number;
}

/** Notes the status that the observation shows; true when the loop has changed. */
export function applyStatus(
  loop: LoopState,
  observation: Observation,
  { rule, nowUs, isNews, clockBehindUs }: Moment,
): boolean {
  const changed = noteState(loop, observation, clockBehindUs);
  if (loop.opening === null || !(changed || isNews)) return changed;
  const end = expectEnd(loop, observation, rule, nowUs);
  if (!isNews && end.deadlineUs === loop.deadlineUs && end.endReason === loop.endReason) return changed;
  loop.deadlineUs = end.deadlineUs;
  loop.endReason = end.endReason;
  return true;
}

function noteState(loop: LoopState, observation: Observation, clockBehindUs: number): boolean {
  const { allocation, createdAtUs, followLineage, links, modifiedAtUs, status, task } = observation;
  let changed = false;
  for (const { parent } of links) changed = replace(loop, `${parent}/${task}`) || changed;
  if (status === null) return changed;
  const key = `${allocation}/${task}`;
  if (!loop.tasks.has(key) && status.state === 'replaced') return changed;
  const record = taskOf(loop, key);
  if (record.state === 'replaced' || modifiedAtUs < record.stateAtUs) return changed;
  // n.b. A client whose clock is behind says that the task has run since before it was placed, or failed.
  const afterUs = record.state === 'running' ? -1 : Math.max(record.stateAtUs, createdAtUs ?? -1);
  const sinceUs = Math.min(modifiedAtUs, Math.max(status.sinceUs + clockBehindUs, afterUs));
  if (record.state === status.state && (status.state !== 'running' || sinceUs <= record.stateSinceUs)) return changed;
  Object.assign(record, { state: status.state, stateSinceUs: sinceUs, stateAtUs: modifiedAtUs });
  loop.tasks.delete(key);
  loop.tasks.set(key, record);
  // Counted by name there are no links: whoever comes after one that has failed takes its place.
  if (!followLineage)
    for (const [other, { state, stateAtUs }] of loop.tasks)
      if (other !== key && other.endsWith(`/${task}`) && state === 'failed' && stateAtUs < modifiedAtUs)
        replace(loop, other);
  return true;
}

function replace(loop: LoopState, key: string): boolean {
  const record = loop.tasks.get(key);
  if (record === undefined || record.state === 'replaced') return false;
  record.state = 'replaced';
  return true;
}

/** n.b. Times of the event are compared with one another only; ours begins when the event is seen. */
function expectEnd(
  loop: LoopState,
  { modifiedAtUs }: Observation,
  rule: Rule,
  nowUs: number,
): Pick<LoopState, 'deadlineUs' | 'endReason'> {
  const states = [...loop.tasks.values()].filter(({ state }) => state !== null && state !== 'replaced');
  const intervalUs = rule.intervalMs * 1000;
  if (states.length === 0 && ![...loop.tasks.values()].some(({ state }) => state === 'replaced')) {
    return {
      deadlineUs: nowUs + Math.max(0, loop.newestUs + intervalUs - Math.max(loop.newestUs, modifiedAtUs)),
      endReason: 'ran',
    };
  }
  if (states.length === 0 || states.some(isWaiting))
    return { deadlineUs: nowUs + retentionMs(rule) * 1000, endReason: 'silent' };
  if (states.every(({ state }) => state === 'stopped')) return { deadlineUs: nowUs, endReason: 'stopped' };
  const sinceUs = latestOf(states.filter(({ state }) => state !== 'stopped').map(({ stateSinceUs }) => stateSinceUs));
  return {
    deadlineUs: nowUs + Math.min(intervalUs, Math.max(0, sinceUs + intervalUs - modifiedAtUs)),
    endReason: 'ran',
  };
}

function isWaiting({ state }: TaskRecord): boolean {
  return state === 'waiting' || state === 'failed';
}
