/**
 * Reads the allocation out of an event or a snapshot message, in one pass over its bytes. Checks only the fields that
 * the detector uses.
 */
import { errorCode, HydrantError } from '@hydrant/shared/foundation/errors';
import { skipValue, walkArray, walkObject } from '@hydrant/shared/foundation/json-scanner';
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
  readonly desiredStatus: string;
  readonly clientStatus: string;
  /** By the clock of the servers, nanoseconds since 1970. */
  readonly modifyTimeNs: bigint;
  /** The same; null when the event does not say. */
  readonly createTimeNs: bigint | null;
  /** The allocation that this one replaced, or null when it replaced none or the event does not say. */
  readonly replaced: string | null;
  /** Those that were rescheduled before it, oldest first: each replaced the one before. */
  readonly rescheduled: readonly string[];
  /** The allocation that replaced this one. */
  readonly replacedBy: string | null;
  readonly fields: RawObject;
  /** Those that can be read. */
  readonly tasks: readonly TaskState[];
  /** Why others, or some of their events, cannot. */
  readonly odd: readonly HydrantError[];
}

/**
 * Throws a permanent `event-invalid` when the body is no Nomad event with an allocation, or the allocation lacks the
 * fields that matter here.
 */
export function readAllocation(body: Buffer): Allocation {
  try {
    return readEvent(body);
  } catch (error) {
    if (errorCode(error) !== 'json-malformed') throw error;
    throw new HydrantError('Expected the message to be a Nomad event in JSON', {
      code: 'event-invalid',
      retryable: false,
      cause: error,
    });
  }
}

function readEvent(body: Buffer): Allocation {
  let fields: RawObject | undefined;
  let tasks: TaskState[] = [];
  let odd: HydrantError[] = [];
  const readTasks = (start: number): number => {
    tasks = [];
    odd = [];
    return walkObject(body, objectAt(body, start, '`TaskStates`'), (name, at) => {
      const end = skipValue(body, at);
      // n.b. Nomad writes null for a task that it has no state of yet.
      if (body[at] !== 0x6e)
        keepReadable(odd, () => {
          tasks.push(readTask(body, name, at, odd));
        });
      return end;
    });
  };
  const readFields = (start: number): number =>
    (fields = new RawObject(body, objectAt(body, start, '`Payload.Allocation`'), { TaskStates: readTasks })).end;
  const readPayload = (start: number): number =>
    new RawObject(body, objectAt(body, start, '`Payload`'), { Allocation: readFields }).end;
  const event = new RawObject(body, objectAt(body, 0, 'the body'), { Payload: readPayload });
  if (body.toString('latin1', event.end).trim() !== '') throw invalid('nothing behind the event', undefined);
  event.requiredText('Topic');
  if (fields === undefined) throw invalid('`Payload.Allocation` to be an object', undefined);
  const [first] = odd;
  if (tasks.length === 0 && first !== undefined) throw first;
  return makeAllocation(body, fields, tasks, odd);
}

/** One odd part takes none of the others with it. */
function keepReadable(odd: HydrantError[], read: () => void): void {
  try {
    read();
  } catch (error) {
    if (!(error instanceof HydrantError) || error.code !== 'event-invalid') throw error;
    odd.push(error);
  }
}

function makeAllocation(
  body: Buffer,
  fields: RawObject,
  tasks: readonly TaskState[],
  odd: readonly HydrantError[],
): Allocation {
  const createdNs = fields.integer('CreateTime');
  return {
    id: fields.requiredText('ID'),
    name: fields.requiredText('Name'),
    namespace: fields.textOr('Namespace', '') || 'default',
    jobId: fields.textOr('JobID', ''),
    group: fields.textOr('TaskGroup', ''),
    node: fields.textOr('NodeName', '') || fields.textOr('NodeID', ''),
    desiredStatus: fields.textOr('DesiredStatus', ''),
    clientStatus: fields.textOr('ClientStatus', ''),
    modifyTimeNs: nanoseconds(fields, 'ModifyTime'),
    createTimeNs: createdNs !== undefined && createdNs > 0n ? createdNs : null,
    replaced: fields.textOr('PreviousAllocation', '') || null,
    rescheduled: readTracker(body, fields),
    replacedBy: fields.textOr('NextAllocation', '') || null,
    fields,
    tasks,
    odd,
  };
}

function readTask(body: Buffer, name: string, at: number, odd: HydrantError[]): TaskState {
  let events: TaskEvent[] = [];
  const oddBefore = odd.length;
  const readEvents = (start: number): number => {
    if (body[start] !== 0x5b)
      throw invalid(`\`Events\` of task "${name}" to be a list`, body.toString('latin1', start, start + 1));
    events = [];
    return walkArray(body, start, (from) => {
      const known = odd.length;
      keepReadable(odd, () => {
        events.push(new TaskEvent(body, objectAt(body, from, 'a task event')));
      });
      // n.b. Restarts are numbered from the newest back: what lies before one that cannot be read has no certain
      // number.
      if (odd.length > known) events = [];
      return skipValue(body, from);
    });
  };
  const state = new RawObject(body, objectAt(body, at, `the state of task "${name}"`), { Events: readEvents });
  if (events.length === 0 && odd.length > oddBefore)
    throw odd.pop() ?? invalid(`the events of task "${name}" to be readable`, undefined);
  return {
    name,
    state: state.textOr('State', ''),
    failed: state.isTrue('Failed'),
    restarts: count(state, 'Restarts'),
    startedAt: state.textOr('StartedAt', '') || null,
    finishedAt: state.textOr('FinishedAt', '') || null,
    events,
  };
}

/** List objects, which snapshots are made of, lack `PreviousAllocation` but carry the tracker. */
function readTracker(body: Buffer, fields: RawObject): string[] {
  const start = fields.objectOr('RescheduleTracker')?.startOf('Events');
  if (start === undefined || body[start] !== 0x5b) return [];
  const ids: string[] = [];
  walkArray(body, start, (from) => {
    const id = body[from] === 0x7b ? new RawObject(body, from).textOr('PrevAllocID', '') : '';
    if (id !== '') ids.push(id);
    return skipValue(body, from);
  });
  return ids;
}

/** A member of an object within, such as the `Details` of a task event. */
export function innerText(fields: RawObject, key: string, innerKey: string): string {
  return fields.objectOr(key)?.textOr(innerKey, '') ?? '';
}

function objectAt(body: Buffer, at: number, what: string): number {
  let start = at;
  while (body[start] === 0x20 || body[start] === 0x0a || body[start] === 0x0d || body[start] === 0x09) start += 1;
  if (body[start] !== 0x7b)
    throw invalid(
      `${what} to be an object`,
      start >= body.length ? undefined : body.toString('latin1', start, start + 1),
    );
  return start;
}

function count(fields: RawObject, key: string): number {
  const raw = fields.raw(key) ?? '0';
  const value = Number(raw);
  if (!/^\d+$/u.test(raw) || !Number.isSafeInteger(value)) throw invalid(`\`${key}\` to be a whole number`, raw);
  return value;
}
