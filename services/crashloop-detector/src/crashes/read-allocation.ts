/**
 * Reads the allocation out of an event or a snapshot message without losing a digit: nanosecond times exceed what a number can hold.
 * Checks only the fields that the detector uses.
 */
import { parse } from 'lossless-json';
import { HydrantError } from '@hydrant/shared/foundation/errors';

export type JsonObject = Readonly<Record<string, unknown>>;

export interface TaskEvent {
  readonly type: string;
  /** By the clock of the client, nanoseconds since 1970. */
  readonly timeNs: bigint;
  /** All fields as Nomad sent them; integers beyond 2^53 as bigint. */
  readonly fields: JsonObject;
}

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
  /** By the clock of the servers, nanoseconds since 1970. */
  readonly modifyTimeNs: bigint;
  /** The allocation that this one replaced, or null when it replaced none or the event does not say. */
  readonly replaced: string | null;
  /** The allocation that replaced this one. */
  readonly replacedBy: string | null;
  readonly fields: JsonObject;
  readonly tasks: readonly TaskState[];
}

export interface NomadEvent {
  readonly topic: string;
  readonly payload: JsonObject;
}

/** Throws a permanent `event-invalid` when the body is no Nomad event. */
export function parseEvent(body: Buffer): NomadEvent {
  const event = object(parseLossless(body), 'the body');
  return { topic: requiredText(event, 'Topic'), payload: object(event['Payload'], '`Payload`') };
}

/** Throws a permanent `event-invalid` when the event carries no allocation, or one without the fields that matter here. */
export function readAllocation(event: NomadEvent): Allocation {
  const fields = object(event.payload['Allocation'], '`Payload.Allocation`');
  return {
    id: requiredText(fields, 'ID'),
    name: requiredText(fields, 'Name'),
    namespace: optionalText(fields, 'Namespace') ?? 'default',
    jobId: optionalText(fields, 'JobID') ?? '',
    modifyTimeNs: nanoseconds(fields, 'ModifyTime'),
    replaced: optionalText(fields, 'PreviousAllocation') ?? rescheduledFrom(fields),
    replacedBy: optionalText(fields, 'NextAllocation'),
    fields,
    tasks: Object.entries(optionalObject(fields, 'TaskStates')).map(([name, state]) => readTask(name, state)),
  };
}

function readTask(name: string, value: unknown): TaskState {
  const state = object(value, `the state of task "${name}"`);
  const events = state['Events'] ?? [];
  if (!Array.isArray(events)) throw invalid(`\`Events\` of task "${name}" to be a list`, events);
  return {
    name,
    state: optionalText(state, 'State') ?? '',
    failed: state['Failed'] === true,
    restarts: count(state, 'Restarts'),
    startedAt: optionalText(state, 'StartedAt'),
    finishedAt: optionalText(state, 'FinishedAt'),
    events: events.map((event) => readTaskEvent(event)),
  };
}

function readTaskEvent(value: unknown): TaskEvent {
  const fields = object(value, 'a task event');
  return { type: requiredText(fields, 'Type'), timeNs: nanoseconds(fields, 'Time'), fields };
}

/** List objects, which snapshots are made of, lack `PreviousAllocation` but carry the tracker. */
function rescheduledFrom(fields: JsonObject): string | null {
  const events = optionalObject(fields, 'RescheduleTracker')['Events'];
  if (!Array.isArray(events) || events.length === 0) return null;
  return optionalText(object(events[events.length - 1], 'an event of `RescheduleTracker`'), 'PrevAllocID');
}

function parseLossless(body: Buffer): unknown {
  try {
    return parse(body.toString('utf8'), undefined, parseNumber);
  } catch (error) {
    throw new HydrantError('Expected the message to be a Nomad event in JSON', { code: 'event-invalid', retryable: false, cause: error });
  }
}

function parseNumber(text: string): number | bigint {
  const value = Number(text);
  return Number.isSafeInteger(value) || !/^-?\d+$/.test(text) ? value : BigInt(text);
}

function object(value: unknown, what: string): JsonObject {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid(`${what} to be an object`, value);
  return value as JsonObject;
}

function optionalObject(fields: JsonObject, key: string): JsonObject {
  return fields[key] === undefined || fields[key] === null ? {} : object(fields[key], `\`${key}\``);
}

function requiredText(fields: JsonObject, key: string): string {
  const value = optionalText(fields, key);
  if (value === null) throw invalid(`\`${key}\` to be a text`, fields[key]);
  return value;
}

function optionalText(fields: JsonObject, key: string): string | null {
  const value = fields[key];
  if (value === undefined || value === null || value === '') return null;
  if (typeof value !== 'string') throw invalid(`\`${key}\` to be a text`, value);
  return value;
}

function nanoseconds(fields: JsonObject, key: string): bigint {
  const value = fields[key];
  if (typeof value === 'bigint') return value;
  if (typeof value === 'number' && Number.isSafeInteger(value)) return BigInt(value);
  throw invalid(`\`${key}\` to be nanoseconds since 1970`, value);
}

function count(fields: JsonObject, key: string): number {
  const value = fields[key] ?? 0;
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  throw invalid(`\`${key}\` to be a whole number`, value);
}

function invalid(expected: string, got: unknown): HydrantError {
  const shown = got === undefined ? 'nothing' : Array.isArray(got) ? 'a list' : got === null ? 'null' : `a ${typeof got}`;
  return new HydrantError(`Expected ${expected} in an Allocation event, got ${shown}`, { code: 'event-invalid', retryable: false });
}
