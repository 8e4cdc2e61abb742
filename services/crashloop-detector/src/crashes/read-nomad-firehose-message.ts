/**
 * Reads nomad-firehose's `allocations` payload: one task event of one allocation, flat, without namespace, cluster, number of the restart or
 * anything of the allocation's lineage. So its crashes are told apart by their own time, and counted together by allocation name.
 */
import { errorCode } from '@hydrant/shared/foundation/errors';
import type { Message } from '@hydrant/shared/messages/message';
import type { Observation, TimedCrash } from '../ledger/ledger.ts';
import { makeLastEventOfFirehose } from './last-event.ts';
import { allocationKey, namedGroupKey, type Origin } from './lineage.ts';
import { nanoseconds } from './nanoseconds.ts';
import { RawObject } from './raw-object.ts';
import { readUsualRestart, type FirehoseCrash } from './usual-firehose-message.ts';

interface FirehoseMessage {
  readonly fields: RawObject;
  readonly event: RawObject;
}

const crashTypes = ['Restarting"', '"Setup Failure"'].map((text) => Buffer.from(text));

/**
 * What the message proves: one observation, none when it tells of no crash; undefined when it is none of nomad-firehose's. `nowMs`: no crash is later.
 * Throws a permanent `event-invalid` when fields that matter are missing.
 */
export function observeFirehoseMessage(message: Message, nowMs: number): readonly Observation[] | undefined {
  // Most messages tell of no crash, which their bytes alone show.
  const mayHoldCrash = crashTypes.some((text) => message.body.includes(text));
  const usual = mayHoldCrash ? readUsualRestart(message.body) : undefined;
  if (usual !== undefined) return [observeCrash(message, usual, nowMs)];
  const read = readMembers(message.body);
  if (read === undefined) return undefined;
  const crash = mayHoldCrash ? findCrash(read) : undefined;
  return crash === undefined ? [] : [observeCrash(message, crash, nowMs)];
}

/** Undefined when the body has not the shape of that payload. */
function readMembers(body: Buffer): FirehoseMessage | undefined {
  try {
    let event: RawObject | undefined;
    const fields = new RawObject(body, 0, { TaskEvent: (start) => (event = new RawObject(body, start)).end });
    const isWhole = body.toString('latin1', fields.end).trim() === '';
    return isWhole && event !== undefined && fields.startOf('AllocationID') !== undefined ? { fields, event } : undefined;
  } catch (error) {
    if (errorCode(error) !== 'json-malformed') throw error;
    return undefined;
  }
}

function findCrash({ fields, event }: FirehoseMessage): FirehoseCrash | undefined {
  const type = event.requiredText('Type');
  const reason = event.textOr('RestartReason', '') || event.object('Details')?.textOr('restart_reason', '') || '';
  const isFailure = type === 'Not Restarting' || (type === 'Setup Failure' && event.isTrue('FailsTask'));
  if (!isFailure && (type !== 'Restarting' || reason === '')) return undefined;
  return {
    isFailure,
    allocation: fields.requiredText('AllocationID'),
    name: fields.requiredText('Name'),
    task: fields.requiredText('TaskName'),
    at: String(nanoseconds(event, 'Time')),
    node: fields.textOr('NodeID', ''),
    job: fields.text('JobID') ?? '',
    group: fields.text('GroupName') ?? '',
    reason: reason || event.textOr('DisplayMessage', '') || type,
    lastEvent: makeLastEventOfFirehose(fields, event),
  };
}

function observeCrash(message: Message, crash: FirehoseCrash, nowMs: number): Observation {
  const { task, at, node } = crash;
  const origin: Origin = { cluster: header(message, 'cluster'), region: header(message, 'region') };
  const allocation = allocationKey(origin, crash.allocation);
  const timeUs = Math.min(Number(at.slice(0, -3)), Math.floor(nowMs * 1000));
  // n.b. a member that is undefined is not written.
  const detail = { allocation: crash.allocation, task, node: node === '' ? undefined : node, time: at, reason: crash.reason };
  const timed: TimedCrash = { at, timeUs, detail: JSON.stringify(detail), isFailure: crash.isFailure };
  return {
    // nomad-firehose gives its messages no id, and tells of a task event again after a restart.
    eventId: `${allocation}/${task}@${at}`,
    group: namedGroupKey(origin, '', crash.name),
    followLineage: false,
    allocation,
    task,
    place: { cluster: origin.cluster, namespace: 'default', job: crash.job, group: crash.group, task },
    links: [],
    // Only Hydrant's own messages of this kind say when they were published.
    modifiedAtUs: Math.max(timeUs, message.timestampMs * 1000),
    restarts: [],
    timed: [timed],
    failure: null,
    lastEvent: crash.lastEvent,
  };
}

function header(message: Message, name: string): string {
  const value = message.headers[name];
  return typeof value === 'string' ? value : 'default';
}
