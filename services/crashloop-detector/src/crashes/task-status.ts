/** What an allocation shows of whether a task goes on: what decides when a loop is over. */
import { microsecondsOr } from './nanoseconds.ts';
import type { Allocation, TaskState } from './read-allocation.ts';

export interface ObservedStatus {
  /**
   * `running`; `waiting` for its next start; `failed`: its allocation has, and waits for its reschedule; `done`: it
   * ended well; `stopped`: by a person, who stopped the allocation or its job; `replaced`: another allocation has taken
   * its place.
   */
  readonly state: 'running' | 'waiting' | 'failed' | 'done' | 'stopped' | 'replaced';
  /** Since when, as far as the event shows. */
  readonly sinceUs: number;
}

/** Client states in which Nomad does not know the task, or has given it up. */
const away: ReadonlySet<string> = new Set(['lost', 'unknown']);

export function readTaskStatus(allocation: Allocation, task: TaskState): ObservedStatus {
  const modifiedUs = Number(allocation.modifyTimeNs / 1000n);
  const state = stateOf(allocation, task);
  return { state, sinceUs: state === 'running' ? Math.min(modifiedUs, startedAtUs(task) ?? modifiedUs) : modifiedUs };
}

function stateOf(allocation: Allocation, task: TaskState): ObservedStatus['state'] {
  if (allocation.replacedBy !== null) return 'replaced';
  if (away.has(allocation.clientStatus)) return 'failed';
  if (allocation.desiredStatus === 'stop') return 'stopped';
  if (allocation.desiredStatus === 'evict') return 'failed';
  if (task.state === 'running') return 'running';
  if (task.state !== 'dead') return 'waiting';
  return task.failed || allocation.clientStatus === 'failed' ? 'failed' : 'done';
}

function startedAtUs(task: TaskState): number | undefined {
  const started = task.events.findLast(({ type }) => type === 'Started');
  if (started !== undefined) return Number(started.timeNs / 1000n);
  const at = task.startedAt === null ? NaN : Date.parse(task.startedAt);
  return Number.isNaN(at) ? undefined : microsecondsOr(at * 1000, undefined);
}
