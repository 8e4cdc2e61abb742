/**
 * What an allocation proves about the restarts and the failure of each of its tasks. Pure, and without memory:
 * the numbers of restarts that Nomad no longer shows are the ledger's affair.
 *
 * Only task events prove a crash. A stop, a job update or a drain leaves `Killed` behind, which is none; a crash that happened before
 * a stop stays one, so the desired status plays no part.
 */
import { innerText, type Allocation, type TaskState } from './read-allocation.ts';
import type { TaskEvent } from './task-event.ts';

/** `requested`: a person, a template or a new identity asked for it. Never counted. */
export type RestartKind = 'crash' | 'requested';

/** For the alert; the ledger keeps it without looking inside. */
export interface CrashDetail {
  readonly allocation: string;
  readonly task: string;
  /** Where it ran. */
  readonly node?: string;
  /** Nanoseconds since 1970, in decimal. */
  readonly time: string;
  readonly reason: string;
  /** What went wrong before it, in Nomad's words, where that says more than an exit code. */
  readonly cause?: string;
  readonly exitCode?: number;
  readonly signal?: number;
  readonly oomKilled?: true;
}

export interface Restart {
  /** Which restart of the task in its allocation it was, from 1. */
  readonly number: number;
  readonly kind: RestartKind;
  readonly timeNs: bigint;
  readonly detail: CrashDetail;
  readonly event: TaskEvent;
}

export interface Failure {
  readonly timeNs: bigint;
  readonly detail: CrashDetail;
  readonly event: TaskEvent;
}

export interface TaskCrashes {
  readonly task: TaskState;
  /** Oldest first, numbered without holes. */
  readonly restarts: readonly Restart[];
  readonly failure: Failure | null;
}

const longestCause = 300;

/** Events that name what went wrong; the text is in `DisplayMessage`. */
const causes: ReadonlySet<string> = new Set([
  'Setup Failure', 'Driver Failure', 'Failed Validation', 'Failed Artifact Download', 'Disk Resources Exceeded', 'Task hook failed',
  'Restart Signaled', 'Template',
]);

/** One entry per task that shows a restart or a failure. */
export function extractCrashes(allocation: Allocation): readonly TaskCrashes[] {
  return allocation.tasks.map((task) => extractTask(allocation, task)).filter(({ restarts, failure }) => restarts.length > 0 || failure !== null);
}

function extractTask(allocation: Allocation, task: TaskState): TaskCrashes {
  const restarts: Restart[] = [];
  let failure: Failure | null = null;
  let before: TaskEvent[] = [];
  let number = task.restarts - task.events.filter(({ type }) => type === 'Restarting').length;
  for (const event of task.events) {
    if (event.type === 'Restarting') {
      number += 1;
      // n.b. Numbers below 1 belong to a counter that has gone back since: they were counted under their old numbers.
      if (number >= 1) restarts.push({ number, kind: kindOf(event), ...describe(allocation, task, event, before) });
      before = [];
    } else if (event.type === 'Not Restarting') {
      failure = describe(allocation, task, event, before);
      before = [];
    } else {
      before.push(event);
    }
  }
  return { task, restarts, failure: failure ?? silentFailure(allocation, task, before) };
}

/** A task can fail without `Not Restarting`, such as in the setup of its allocation: then the newest event that fails it counts. */
function silentFailure(allocation: Allocation, task: TaskState, events: readonly TaskEvent[]): Failure | null {
  if (!task.failed || task.state !== 'dead') return null;
  if (events.some(({ type }) => type === 'Sibling Task Failed')) return null;
  const event = events.findLast(({ fields }) => fields.isTrue('FailsTask')) ?? events.at(-1);
  return event === undefined ? null : describe(allocation, task, event, events);
}

function describe(allocation: Allocation, task: TaskState, event: TaskEvent, before: readonly TaskEvent[]): Failure {
  // Clients' clocks may run ahead; the server received the event at ModifyTime at the latest.
  const timeNs = event.timeNs < allocation.modifyTimeNs ? event.timeNs : allocation.modifyTimeNs;
  const terminated = before.findLast(({ type }) => type === 'Terminated');
  const exitCode = terminated === undefined ? undefined : wholeNumber(terminated, 'ExitCode');
  const signal = terminated === undefined ? undefined : wholeNumber(terminated, 'Signal');
  const cause = causeOf(before, terminated);
  const detail: CrashDetail = {
    allocation: allocation.id,
    task: task.name,
    ...(allocation.node === '' ? {} : { node: allocation.node }),
    time: String(timeNs),
    reason: reasonOf(event),
    ...(cause === '' ? {} : { cause: cause.slice(0, longestCause) }),
    ...(exitCode === undefined ? {} : { exitCode }),
    ...(signal === undefined || signal === 0 ? {} : { signal }),
    ...(terminated !== undefined && innerText(terminated.fields, 'Details', 'oom_killed') === 'true' ? { oomKilled: true } : {}),
  };
  return { timeNs, detail, event };
}

/** Nomad gives every restart of its own a reason, and a requested one none. */
function kindOf(event: TaskEvent): RestartKind {
  return restartReason(event) === '' ? 'requested' : 'crash';
}

function restartReason(event: TaskEvent): string {
  return event.fields.textOr('RestartReason', '') || innerText(event.fields, 'Details', 'restart_reason');
}

function reasonOf(event: TaskEvent): string {
  return restartReason(event) || event.fields.textOr('DisplayMessage', '') || event.type;
}

function causeOf(before: readonly TaskEvent[], terminated: TaskEvent | undefined): string {
  const cause = before.findLast(({ type }) => causes.has(type));
  if (cause !== undefined) return cause.fields.textOr('RestartReason', '') || cause.fields.textOr('DisplayMessage', '') || cause.type;
  return terminated === undefined ? '' : terminated.fields.textOr('Message', '');
}

function wholeNumber({ fields }: TaskEvent, key: string): number | undefined {
  const value = fields.integer(key);
  return value === undefined ? undefined : Number(value);
}
