/**
 * The messages of nomad-firehose's `allocations`: one for each task event, with the state of the allocation that first
 * showed it.
 */
import { hash } from 'node:crypto';
import { asObject, asText, type JsonObject } from './go-types.ts';
import { readMembers } from './read-event.ts';
import type { Fingerprint, SeenTaskEvents } from './seen-task-events.ts';

export interface AllocationUpdate {
  /** `<allocation>/<task>/<time>/<fingerprint>`: the same whenever and wherever this task event is told of. */
  readonly identity: string;
  /** What `writeAllocationUpdate` takes. */
  readonly fields: JsonObject;
}

const allocationMembers = [
  'ID',
  'Name',
  'NodeID',
  'EvalID',
  'DesiredStatus',
  'DesiredDescription',
  'ClientStatus',
  'ClientDescription',
  'JobID',
  'TaskGroup',
  'TaskStates',
] as const;

interface ShownTaskEvent {
  readonly fields: JsonObject;
  readonly fingerprint: Fingerprint;
}

interface ShownTask {
  readonly state: JsonObject;
  readonly events: readonly ShownTaskEvent[];
}

const fingerprintDigits = 12;

/** n.b. clocks of clients may be coarse: two task events of a task can have one time, and one type. */
function makeFingerprint({ Type: type, Time: time, DisplayMessage: message }: JsonObject): Fingerprint {
  return Number.parseInt(
    hash('sha1', `${String(type)}\n${String(time)}\n${String(message)}`).slice(0, fingerprintDigits),
    16,
  );
}

function readTasks(taskStates: unknown): ReadonlyMap<string, ShownTask> {
  const tasks = new Map<string, ShownTask>();
  if (taskStates === undefined || taskStates === null) return tasks;
  for (const [name, value] of Object.entries(asObject(taskStates))) {
    if (value === null) continue;
    const state = asObject(value);
    const events = Array.isArray(state['Events'])
      ? state['Events'].filter((event) => event !== null).map(asObject)
      : [];
    tasks.set(name, { state, events: events.map((fields) => ({ fields, fingerprint: makeFingerprint(fields) })) });
  }
  return tasks;
}

/**
 * What the allocation that begins at `at` tells for the first time, oldest first within each task. Throws
 * `nomad-firehose-type`.
 */
export function readAllocationUpdates(bytes: Buffer, at: number, seen: SeenTaskEvents): AllocationUpdate[] {
  const allocation = readMembers(bytes, at, allocationMembers);
  const id = asText(allocation.ID);
  const tasks = readTasks(allocation.TaskStates);
  const shown = new Map([...tasks].map(([name, { events }]) => [name, events.map(({ fingerprint }) => fingerprint)]));
  const updates: AllocationUpdate[] = [];
  for (const [name, added] of seen.note(id, shown)) {
    const task = tasks.get(name);
    if (task === undefined) continue;
    const { State, Failed, StartedAt, FinishedAt } = task.state;
    const around = {
      ...allocation,
      AllocationID: id,
      GroupName: allocation.TaskGroup,
      TaskName: name,
      TaskState: State,
      TaskFailed: Failed,
      TaskStartedAt: StartedAt,
      TaskFinishedAt: FinishedAt,
    };
    for (const { fields, fingerprint } of task.events) {
      if (!added.has(fingerprint)) continue;
      const identity = `${id}/${name}/${String(fields['Time'])}/${fingerprint.toString(16).padStart(fingerprintDigits, '0')}`;
      updates.push({ identity, fields: { ...around, TaskEvent: fields } });
    }
  }
  return updates;
}
