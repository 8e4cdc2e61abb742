/**
 * Reads the allocation out of an event or a snapshot message, in one pass over its bytes. Checks only the fields that the detector uses.
 */
import { errorCode, HydrantError } from '@hydrant/shared/foundation/errors';
import { walkArray, walkObject } from '@hydrant/shared/foundation/json-scanner';
import { nanoseconds } from './nanoseconds.ts';
import { invalid, RawObject } from './raw-object.ts';
import { TaskEvent } from './task-event.ts';

export interface TaskState {
  readonly name: string;
  readonly state: string;
  readonly failed: boolean;
  /** How often the task restarted in this allocation, for whatever cause. */
  readonly restarts: number;
  readonly startedAt: string | null;
  readonly finishedAt: string | null;
  /** Oldest first; Nomad keeps the last ten. */
  readonly events: readonly TaskEvent[];
}

export interface Allocation {
  readonly id: string;
  readonly name: string;
  readonly namespace: string;
  readonly jobId: string;
  readonly group: string;
  /** The client's name, or its id where the event gives no name. */
  readonly node: string;
  /** By the clock of the servers, nanoseconds since 1970. */
  readonly modifyTimeNs: bigint;
  /** The allocation that this one replaced, or null when it replaced none or the event does not say. */
  readonly replaced: string | null;
  /** Those that were rescheduled before it, oldest first: each replaced the one before. */
  readonly rescheduled: readonly string[];
  /** The allocation that replaced this one. */
  readonly replacedBy: string | null;
  readonly fields: RawObject;
  readonly tasks: readonly TaskState[];
}

/** Throws a permanent `event-invalid` when the body is no Nomad event with an allocation, or the allocation lacks the fields that matter here. */
export function readAllocation(body: Buffer): Allocation {
  try {
    return readEvent(body);
  } catch (error) {
    if (errorCode(error) !== 'json-malformed') throw error;
    throw new HydrantError('Expected the message to be a Nomad event in JSON', { code: 'event-invalid', retryable: false, cause: error });
  }
}

function readEvent(body: Buffer): Allocation {
  let fields: RawObject | undefined;
  let tasks: TaskState[] = [];
  const readTasks = (start: number): number => {
    tasks = [];
    return walkObject(body, objectAt(body, start, '`TaskStates`'), (name, at) => {
      const { task, end } = readTask(body, name, at);
      tasks.push(task);
      return end;
    });
  };
  const readFields = (start: number): number => (fields = new RawObject(body, objectAt(body, start, '`Payload.Allocation`'), { TaskStates: readTasks })).end;
  const readPayload = (start: number): number => new RawObject(body, objectAt(body, start, '`Payload`'), { Allocation: readFields }).end;
  const event = new RawObject(body, objectAt(body, 0, 'the body'), { Payload: readPayload });
  if (body.toString('latin1', event.end).trim() !== '') throw invalid('nothing behind the event', undefined);
  event.requiredText('Topic');
  if (fields === undefined) throw invalid('`Payload.Allocation` to be an object', undefined);
  return makeAllocation(body, fields, tasks);
}

function makeAllocation(body: Buffer, fields: RawObject, tasks: readonly TaskState[]): Allocation {
  return {
    id: fields.requiredText('ID'),
    name: fields.requiredText('Name'),
    namespace: fields.text('Namespace') ?? 'default',
    jobId: fields.text('JobID') ?? '',
    group: fields.text('TaskGroup') ?? '',
    node: fields.text('NodeName') ?? fields.text('NodeID') ?? '',
    modifyTimeNs: nanoseconds(fields, 'ModifyTime'),
    replaced: fields.text('PreviousAllocation'),
    rescheduled: readTracker(body, fields),
    replacedBy: fields.text('NextAllocation'),
    fields,
    tasks,
  };
}

function readTask(body: Buffer, name: string, at: number): { readonly task: TaskState; readonly end: number } {
  let events: TaskEvent[] = [];
  const readEvents = (start: number): number => {
    if (body[start] !== 0x5b) throw invalid(`\`Events\` of task "${name}" to be a list`, body.toString('latin1', start, start + 1));
    events = [];
    return walkArray(body, start, (from) => {
      const event = new TaskEvent(body, objectAt(body, from, 'a task event'));
      events.push(event);
      return event.end;
    });
  };
  const state = new RawObject(body, objectAt(body, at, `the state of task "${name}"`), { Events: readEvents });
  const task = {
    name,
    state: state.text('State') ?? '',
    failed: state.isTrue('Failed'),
    restarts: count(state, 'Restarts'),
    startedAt: state.text('StartedAt'),
    finishedAt: state.text('FinishedAt'),
    events,
  };
  return { task, end: state.end };
}

/** List objects, which snapshots are made of, lack `PreviousAllocation` but carry the tracker. */
function readTracker(body: Buffer, fields: RawObject): string[] {
  const start = fields.object('RescheduleTracker')?.startOf('Events');
  if (start === undefined) return [];
  const ids: string[] = [];
  if (body[start] !== 0x5b) throw invalid('`Events` of `RescheduleTracker` to be a list', body.toString('latin1', start, start + 1));
  walkArray(body, start, (from) => {
    const event = new RawObject(body, objectAt(body, from, 'an event of `RescheduleTracker`'));
    const id = event.text('PrevAllocID');
    if (id !== null) ids.push(id);
    return event.end;
  });
  return ids;
}

/** A member of an object within, such as the `Details` of a task event. */
export function innerText(fields: RawObject, key: string, innerKey: string): string {
  return fields.object(key)?.textOr(innerKey, '') ?? '';
}

function objectAt(body: Buffer, at: number, what: string): number {
  let start = at;
  while (body[start] === 0x20 || body[start] === 0x0a || body[start] === 0x0d || body[start] === 0x09) start += 1;
  if (body[start] !== 0x7b) throw invalid(`${what} to be an object`, start >= body.length ? undefined : body.toString('latin1', start, start + 1));
  return start;
}

function count(fields: RawObject, key: string): number {
  const raw = fields.raw(key) ?? '0';
  const value = Number(raw);
  if (!/^\d+$/u.test(raw) || !Number.isSafeInteger(value)) throw invalid(`\`${key}\` to be a whole number`, raw);
  return value;
}
