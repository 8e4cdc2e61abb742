/**
 * One task event in the form that nomad-firehose gave it and nomad-crashloop-detector passed on as `LastEvent`:
 * its fields in its order, and none of the later ones.
 */
import { goZeroTime, writeGoJson } from '@hydrant/shared/foundation/go-json';
import type { RawObject } from './raw-object.ts';
import type { Allocation, TaskState } from './read-allocation.ts';
import type { TaskEvent } from './task-event.ts';

/** What Go writes in its own way. */
const escaped = /[\\<>&\u2028\u2029]/u;

/** The JSON that Go gives to an absent value, by its kind. */
export type Zero = '""' | '0' | 'false';

/** The fields of a task event, in order. */
export const taskEventFields: readonly (readonly [key: string, zero: Zero])[] = [
  ['Type', '""'],
  ['Time', '0'],
  ['FailsTask', 'false'],
  ['RestartReason', '""'],
  ['SetupError', '""'],
  ['DriverError', '""'],
  ['DriverMessage', '""'],
  ['ExitCode', '0'],
  ['Signal', '0'],
  ['Message', '""'],
  ['KillReason', '""'],
  ['KillTimeout', '0'],
  ['KillError', '""'],
  ['StartDelay', '0'],
  ['DownloadError', '""'],
  ['ValidationError', '""'],
  ['DiskLimit', '0'],
  ['DiskSize', '0'],
  ['FailedSibling', '""'],
  ['VaultError', '""'],
  ['TaskSignalReason', '""'],
  ['TaskSignal', '""'],
];

export function makeLastEvent(allocation: Allocation, task: TaskState, event: TaskEvent): string {
  const { fields } = allocation;
  const members = [
    ['Name', writeGoJson(allocation.name)],
    ['AllocationID', writeGoJson(allocation.id)],
    ['DesiredStatus', goJson(fields, 'DesiredStatus', '""')],
    ['DesiredDescription', goJson(fields, 'DesiredDescription', '""')],
    ['ClientStatus', goJson(fields, 'ClientStatus', '""')],
    ['ClientDescription', goJson(fields, 'ClientDescription', '""')],
    ['JobID', writeGoJson(allocation.jobId)],
    ['GroupName', goJson(fields, 'TaskGroup', '""')],
    ['TaskName', writeGoJson(task.name)],
    ['EvalID', goJson(fields, 'EvalID', '""')],
    ['TaskState', writeGoJson(task.state)],
    ['TaskFailed', String(task.failed)],
    ['TaskStartedAt', writeGoJson(task.startedAt ?? goZeroTime)],
    ['TaskFinishedAt', writeGoJson(task.finishedAt ?? goZeroTime)],
    ['TaskEvent', writeTaskEvent(event.fields)],
  ];
  return `{${members.map(([name, json]) => `"${name}":${json}`).join(',')}}`;
}

/** The same from nomad-firehose's own message, which has the fields already, and later ones between them. */
export function makeLastEventOfFirehose(fields: RawObject, event: RawObject): string {
  const texts = [
    'Name',
    'AllocationID',
    'DesiredStatus',
    'DesiredDescription',
    'ClientStatus',
    'ClientDescription',
    'JobID',
    'GroupName',
    'TaskName',
    'EvalID',
    'TaskState',
  ];
  const members = [
    ...texts.map((name) => [name, goJson(fields, name, '""')]),
    ['TaskFailed', goJson(fields, 'TaskFailed', 'false')],
    ...['TaskStartedAt', 'TaskFinishedAt'].map((name) => [
      name,
      fields.text(name) === null ? writeGoJson(goZeroTime) : goJson(fields, name, '""'),
    ]),
    ['TaskEvent', writeTaskEvent(event)],
  ];
  return `{${members.map(([name, json]) => `"${name}":${json}`).join(',')}}`;
}

function writeTaskEvent(fields: RawObject): string {
  return `{${taskEventFields.map(([name, zero]) => `"${name}":${goJson(fields, name, zero)}`).join(',')}}`;
}

/**
 * The value as Go writes it: as it stands there where that is the same; `zero` when it is absent or of another kind.
 */
function goJson(fields: RawObject, key: string, zero: Zero): string {
  const raw = fields.raw(key);
  if (raw === undefined) return zero;
  if (zero === 'false') return raw === 'true' ? raw : zero;
  if (zero === '0') return /^-?\d+$/u.test(raw) ? raw : zero;
  if (!raw.startsWith('"')) return zero;
  return escaped.test(raw) ? writeGoJson(fields.textOr(key, '')) : raw;
}
