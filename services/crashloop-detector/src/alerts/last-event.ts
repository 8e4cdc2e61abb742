/**
 * One task event in the form that nomad-firehose gave it and nomad-crashloop-detector passed on as `LastEvent`:
 * its fields in its order, and none of the later ones.
 */
import type { Allocation, JsonObject, TaskEvent, TaskState } from '../crashes/read-allocation.ts';
import { goZeroTime, writeGoJson, type GoObject, type GoValue } from './go-json.ts';

/** The fields of a task event, in order, with the value that Go gives to an absent one. */
const taskEventFields: readonly (readonly [string, GoValue])[] = [
  ['Type', ''], ['Time', 0], ['FailsTask', false], ['RestartReason', ''], ['SetupError', ''], ['DriverError', ''], ['DriverMessage', ''],
  ['ExitCode', 0], ['Signal', 0], ['Message', ''], ['KillReason', ''], ['KillTimeout', 0], ['KillError', ''], ['StartDelay', 0],
  ['DownloadError', ''], ['ValidationError', ''], ['DiskLimit', 0], ['FailedSibling', ''], ['VaultError', ''], ['TaskSignalReason', ''],
  ['TaskSignal', ''],
];

export function makeLastEvent(allocation: Allocation, task: TaskState, event: TaskEvent): string {
  const { fields } = allocation;
  return writeGoJson({
    Name: allocation.name,
    AllocationID: allocation.id,
    DesiredStatus: text(fields, 'DesiredStatus'),
    DesiredDescription: text(fields, 'DesiredDescription'),
    ClientStatus: text(fields, 'ClientStatus'),
    ClientDescription: text(fields, 'ClientDescription'),
    JobID: allocation.jobId,
    GroupName: text(fields, 'TaskGroup'),
    TaskName: task.name,
    EvalID: text(fields, 'EvalID'),
    TaskState: task.state,
    TaskFailed: task.failed,
    TaskStartedAt: task.startedAt ?? goZeroTime,
    TaskFinishedAt: task.finishedAt ?? goZeroTime,
    TaskEvent: pickTaskEvent(event.fields),
  });
}

function pickTaskEvent(fields: JsonObject): GoObject {
  return Object.fromEntries(taskEventFields.map(([name, zero]) => {
    const value = fields[name];
    return [name, isLike(zero, value) ? value : zero];
  }));
}

function isLike(zero: GoValue, value: unknown): value is GoValue {
  return typeof value === typeof zero || (typeof zero === 'number' && typeof value === 'bigint');
}

function text(fields: JsonObject, key: string): string {
  const value = fields[key];
  return typeof value === 'string' ? value : '';
}
