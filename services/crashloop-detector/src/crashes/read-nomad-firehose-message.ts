/**
 * Reads nomad-firehose's `allocations` payload: one task event of one allocation, flat, without namespace, cluster,
 * number of the restart or anything of the allocation's lineage. So its crashes are told apart by their own time, and
 * counted together by allocation name.
 */
import { errorCode } from '@hydrant/shared/foundation/errors';
import type { Message } from '@hydrant/shared/messages/message';
import { microsecondsOf } from '../ledger/crash-window.ts';
import type { Observation } from '../ledger/ledger.ts';
import { makeLastEventOfFirehose } from './last-event.ts';
import { allocationKey, namedGroupKey, type Origin } from './lineage.ts';
import { nanoseconds } from './nanoseconds.ts';
import { RawObject } from './raw-object.ts';
import type { ObservedStatus } from './task-status.ts';
import { readUsualRestart, type FirehoseCrash, type FirehoseTask } from './usual-firehose-message.ts';

interface FirehoseMessage {
  readonly fields: RawObject;
  readonly event: RawObject;
}

interface FirehoseStatus extends FirehoseTask {
  readonly at: string;
  readonly state: ObservedStatus['state'];
}

const crashTypes = ['Restarting"', '"Setup Failure"'].map((text) => Buffer.from(text));
/** What tells that the task goes on, or was stopped. */
const statusTypes = ['"Type":"Started"', '"Type":"Killed"'].map((text) => Buffer.from(text));

/**
 * What the message proves: one observation, none when it tells of no crash; undefined when it is none of
 * nomad-firehose's. `nowMs`: no crash is later. Throws a permanent `event-invalid` when fields that matter are missing.
 */
export function observeFirehoseMessage(message: Message, nowMs: number): readonly Observation[] | undefined {
  // Most messages tell of no crash, which their bytes alone show.
  const mayHoldCrash = crashTypes.some((text) => message.body.includes(text));
  const usual = mayHoldCrash ? readUsualRestart(message.body) : undefined;
  if (usual !== undefined) return [observeCrash(message, usual, nowMs)];
  const read = readMembers(message.body);
  if (read === undefined) return undefined;
  const crash = mayHoldCrash ? findCrash(read) : undefined;
  if (crash !== undefined) return [observeCrash(message, crash, nowMs)];
  const status = statusTypes.some((text) => message.body.includes(text)) ? findStatus(read) : undefined;
  return status === undefined ? [] : [observe(message, status, nowMs)];
}

/** Undefined when the body has not the shape of that payload. */
function readMembers(body: Buffer): FirehoseMessage | undefined {
  try {
    let event: RawObject | undefined;
    const fields = new RawObject(body, 0, { TaskEvent: (start) => (event = new RawObject(body, start)).end });
    const isWhole = body.toString('latin1', fields.end).trim() === '';
    return isWhole && event !== undefined && fields.startOf('AllocationID') !== undefined
      ? { fields, event }
      : undefined;
  } catch (error) {
    if (errorCode(error) !== 'json-malformed') throw error;
    return undefined;
  }
}

function findCrash(read: FirehoseMessage): FirehoseCrash | undefined {
  const { fields, event } = read;
  const type = event.requiredText('Type');
  const reason = event.textOr('RestartReason', '') || event.objectOr('Details')?.textOr('restart_reason', '') || '';
  const isFailure = type === 'Not Restarting' || (type === 'Setup Failure' && event.isTrue('FailsTask'));
  if (!isFailure && (type !== 'Restarting' || reason === '')) return undefined;
  return {
    ...readTask(read),
    isFailure,
    at: String(nanoseconds(event, 'Time')),
    reason: reason || event.textOr('DisplayMessage', '') || type,
    lastEvent: makeLastEventOfFirehose(fields, event),
  };
}

function findStatus(read: FirehoseMessage): FirehoseStatus | undefined {
  const type = read.event.requiredText('Type');
  if (type !== 'Started' && type !== 'Killed') return undefined;
  const hasFailed = read.fields.isTrue('TaskFailed');
  return {
    ...readTask(read),
    at: String(nanoseconds(read.event, 'Time')),
    state: type === 'Started' ? 'running' : hasFailed ? 'failed' : 'stopped',
  };
}

function readTask({ fields }: FirehoseMessage): FirehoseTask {
  return {
    allocation: fields.requiredText('AllocationID'),
    name: fields.requiredText('Name'),
    task: fields.requiredText('TaskName'),
    node: fields.textOr('NodeID', ''),
    job: fields.textOr('JobID', ''),
    group: fields.textOr('GroupName', ''),
  };
}

function observeCrash(message: Message, crash: FirehoseCrash, nowMs: number): Observation {
  const { at, isFailure, node, task } = crash;
  const status = { ...crash, state: isFailure ? 'failed' : 'waiting' } as const;
  const observation = observe(message, status, nowMs);
  const timeUs = observation.firstSeenUs;
  // n.b. a member that is undefined is not written.
  const detail = JSON.stringify({
    allocation: crash.allocation,
    task,
    node: node === '' ? undefined : node,
    reason: crash.reason,
  });
  const timeNs = timeUs === microsecondsOf(at) ? at : `${timeUs}000`;
  return { ...observation, timed: [{ at, timeUs, timeNs, detail, isFailure }], lastEvent: crash.lastEvent };
}

function observe(
  message: Message,
  { allocation: id, at, group, job, name, node, state, task }: FirehoseStatus,
  nowMs: number,
): Observation {
  const origin: Origin = { cluster: header(message, 'cluster'), region: header(message, 'region') };
  const allocation = allocationKey(origin, id);
  const timeUs = Math.min(microsecondsOf(at), Math.floor(nowMs * 1000));
  return {
    // nomad-firehose gives its messages no id, and tells of a task event again after a restart.
    eventId: `${allocation}/${task}@${at}`,
    group: namedGroupKey(origin, '', name),
    followLineage: false,
    allocation,
    task,
    place: { cluster: origin.cluster, namespace: 'default', job, group, task },
    node,
    links: [],
    // Only Hydrant's own messages of this kind say when they were published.
    modifiedAtUs: Math.max(timeUs, message.timestampMs * 1000),
    createdAtUs: null,
    firstSeenUs: timeUs,
    restarts: [],
    timed: [],
    status: { state, sinceUs: timeUs },
    lastEvent: null,
  };
}

function header(message: Message, name: string): string {
  const value = message.headers[name];
  return typeof value === 'string' ? value : 'default';
}
