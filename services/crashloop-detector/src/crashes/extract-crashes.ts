/**
 * What an allocation proves about the restarts and the failure of each of its tasks. Pure, and without memory: the
 * numbers of restarts that Nomad no longer shows are the ledger's affair.
 *
 * Only task events prove a crash. A stop, a job update or a drain leaves `Killed` behind, which is none; a crash that
 * happened before a stop stays one, so the desired status plays no part.
 */
import { innerText, type Allocation, type TaskState } from './read-allocation.ts';
import type { TaskEvent } from './task-event.ts';

/** `requested`: a person, a template or a new identity asked for it. Never counted. */
export type RestartKind = 'crash' | 'requested';

/**
 * For the alert; the ledger keeps it without looking inside. The time stands apart, because the rest repeats from crash
 * to crash.
 */
export interface CrashDetail extends UntimedDetail {
  /** Nanoseconds since 1970, in decimal. */
  readonly time: string;
}

export interface UntimedDetail {
  readonly allocation: string;
  readonly task: string;
  /** Where it ran. */
  readonly node?: string;
  readonly reason: string;
  /** What went wrong before it, in Nomad's words, where that says more than an exit code. */
  readonly cause?: string;
  readonly exitCode?: number;
  readonly signal?: number;
  readonly oomKilled?: true;
}

export interface Crash {
  readonly timeNs: bigint;
  /** How long the task had run before it; undefined when the event does not show it. */
  readonly ranNs: bigint | undefined;
  readonly detail: UntimedDetail;
  readonly event: TaskEvent;
}

export interface Restart extends Crash {
  /** Which restart of the task in its allocation it was, from 1. */
  readonly number: number;
  readonly kind: RestartKind;
}

export interface TaskCrashes {
  readonly task: TaskState;
  /** Oldest first, numbered without holes. */
  readonly restarts: readonly Restart[];
  /** The ends of the task in this allocation, oldest first: one that has ended may be run again. */
  readonly failures: readonly Crash[];
}

const longestCause = 300;

/** Events that name what went wrong; the text is in `DisplayMessage`. */
const causes: ReadonlySet<string> = new Set([
  'Setup Failure',
  'Driver Failure',
  'Failed Validation',
  'Failed Artifact Download',
  'Disk Resources Exceeded',
  'Task hook failed',
  'Restart Signaled',
  'Template',
]);

/** Signals by which a person ends a task. */
const endingSignals = /^(?:SIG)?(?:TERM|INT|QUIT|KILL)$/iu;

/** One entry per task, also of those that show no crash. */
export function extractCrashes(allocation: Allocation): readonly TaskCrashes[] {
  return allocation.tasks.map((task) => extractTask(allocation, task));
}

export function hasCrashes({ restarts, failures }: TaskCrashes): boolean {
  return restarts.length > 0 || failures.length > 0;
}

function extractTask(allocation: Allocation, task: TaskState): TaskCrashes {
  const restarts: Restart[] = [];
  const failures: Crash[] = [];
  let before: TaskEvent[] = [];
  let isFailed = false;
  let number = task.restarts - task.events.filter(({ type }) => type === 'Restarting').length;
  for (const event of task.events) {
    if (event.type === 'Restarting') {
      number += 1;
      // n.b. Numbers below 1 belong to a counter that has gone back since: they were counted under their old numbers.
      if (number >= 1)
        restarts.push({ number, kind: kindOf(event, before), ...describe(allocation, task, event, before) });
      before = [];
    } else if (event.type === 'Not Restarting') {
      isFailed = true;
      if (!isSignalled(before)) failures.push(describe(allocation, task, event, before));
      before = [];
    } else {
      if (event.type === 'Started') isFailed = false;
      before.push(event);
    }
  }
  const silent = isFailed ? null : silentFailure(allocation, task, before);
  return { task, restarts, failures: silent === null ? failures : [...failures, silent] };
}

/**
 * A task can fail without `Not Restarting`, such as in the setup of its allocation: then the newest event that fails it
 * counts.
 */
function silentFailure(allocation: Allocation, task: TaskState, events: readonly TaskEvent[]): Crash | null {
  if (!task.failed || task.state !== 'dead') return null;
  if (events.some(({ type }) => type === 'Sibling Task Failed')) return null;
  const event = events.findLast(({ fields }) => fields.isTrue('FailsTask')) ?? events.at(-1);
  return event === undefined ? null : describe(allocation, task, event, events);
}

function describe(allocation: Allocation, task: TaskState, event: TaskEvent, before: readonly TaskEvent[]): Crash {
  // Clients' clocks may run ahead; the server received the event at ModifyTime at the latest.
  const timeNs = event.timeNs < allocation.modifyTimeNs ? event.timeNs : allocation.modifyTimeNs;
  const terminated = before.findLast(({ type }) => type === 'Terminated');
  const exitCode = terminated === undefined ? undefined : wholeNumber(terminated, 'ExitCode');
  const signal = terminated === undefined ? undefined : wholeNumber(terminated, 'Signal');
  const cause = causeOf(before, terminated);
  const detail: UntimedDetail = {
    allocation: allocation.id,
    task: task.name,
    ...(allocation.node === '' ? {} : { node: allocation.node }),
    reason: reasonOf(event),
    ...(cause === '' ? {} : { cause: cause.slice(0, longestCause) }),
    ...(exitCode === undefined ? {} : { exitCode }),
    ...(signal === undefined || signal === 0 ? {} : { signal }),
    ...(terminated !== undefined && innerText(terminated.fields, 'Details', 'oom_killed') === 'true'
      ? { oomKilled: true }
      : {}),
  };
  const started = before.findLast(({ type }) => type === 'Started');
  const ended = terminated ?? event;
  const ranNs = started === undefined || started.timeNs > ended.timeNs ? undefined : ended.timeNs - started.timeNs;
  return { timeNs, ranNs, detail, event };
}

/** Nomad gives every restart of its own a reason, and a requested one none. */
function kindOf(event: TaskEvent, before: readonly TaskEvent[]): RestartKind {
  return restartReason(event) === '' || isSignalled(before) ? 'requested' : 'crash';
}

/**
 * Whether a person ended the task with `nomad alloc signal`: the signal is the last that happened before it terminated,
 * and one that ends a process. Templates and Vault, which send signals too, write what they are for; a person's signal
 * has only a text that Nomad makes of its name.
 */
function isSignalled(before: readonly TaskEvent[]): boolean {
  const at = before.findLastIndex(({ type }) => type === 'Terminated');
  const signal = before[at - 1];
  if (signal?.type !== 'Signaling') return false;
  const name = signal.fields.textOr('TaskSignal', '') || innerText(signal.fields, 'Details', 'task_signal');
  const text = signal.fields.textOr('DisplayMessage', '');
  return endingSignals.test(name) && (text === '' || text.startsWith('Task being sent'));
}

function restartReason(event: TaskEvent): string {
  return event.fields.textOr('RestartReason', '') || innerText(event.fields, 'Details', 'restart_reason');
}

function reasonOf(event: TaskEvent): string {
  return restartReason(event) || event.fields.textOr('DisplayMessage', '') || event.type;
}

function causeOf(before: readonly TaskEvent[], terminated: TaskEvent | undefined): string {
  const cause = before.findLast(({ type }) => causes.has(type));
  if (cause !== undefined)
    return cause.fields.textOr('RestartReason', '') || cause.fields.textOr('DisplayMessage', '') || cause.type;
  return terminated === undefined ? '' : terminated.fields.textOr('Message', '');
}

function wholeNumber({ fields }: TaskEvent, key: string): number | undefined {
  const value = fields.integer(key);
  return value === undefined ? undefined : Number(value);
}
