/**
 * Reads nomad-firehose's `allocations` payload: one task event of one allocation, flat, without namespace, cluster, number of the restart or
 * anything of the allocation's lineage. So its crashes are told apart by their own time, and counted together by allocation name.
 */
import { errorCode } from '@hydrant/shared/foundation/errors';
import type { Message } from '@hydrant/shared/messages/message';
import type { Observation, TimedCrash } from '../ledger/ledger.ts';
import { allocationKey, namedGroupKey, type Origin } from './lineage.ts';
import { nanoseconds } from './nanoseconds.ts';
import { RawObject } from './raw-object.ts';

export interface FirehoseMessage {
  readonly fields: RawObject;
  readonly event: RawObject;
}

const crashTypes = ['Restarting"', '"Setup Failure"'].map((text) => Buffer.from(text));

/** The message when its body has the shape of that payload, otherwise undefined. Throws a permanent `event-invalid` when the body is no JSON. */
export function readFirehoseMessage(body: Buffer): FirehoseMessage | undefined {
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

/** Tells from the bytes alone whether the payload can tell of a crash. */
export function mentionsFirehoseCrash(body: Buffer): boolean {
  return crashTypes.some((text) => body.includes(text));
}

/**
 * What the message proves, or undefined when it tells of no crash. `nowMs`: no crash is later. `lastEvent` makes the event as alerts show it.
 * Throws a permanent `event-invalid` when fields that matter are missing.
 */
export function observeFirehoseMessage(message: Message, { fields, event }: FirehoseMessage, nowMs: number, lastEvent: (fields: RawObject, event: RawObject) => string): Observation | undefined {
  const type = event.requiredText('Type');
  const reason = event.textOr('RestartReason', '') || event.object('Details')?.textOr('restart_reason', '') || '';
  const isFailure = type === 'Not Restarting' || (type === 'Setup Failure' && event.isTrue('FailsTask'));
  if (!isFailure && (type !== 'Restarting' || reason === '')) return undefined;

  const origin: Origin = { cluster: header(message, 'cluster'), region: header(message, 'region') };
  const [id, name, task] = [fields.requiredText('AllocationID'), fields.requiredText('Name'), fields.requiredText('TaskName')];
  const at = nanoseconds(event, 'Time');
  const allocation = allocationKey(origin, id);
  const timeUs = Math.min(Number(at / 1000n), Math.floor(nowMs * 1000));
  const node = fields.textOr('NodeID', '');
  const detail = { allocation: id, task, ...(node === '' ? {} : { node }), time: String(at), reason: reason || event.textOr('DisplayMessage', '') || type };
  const crash: TimedCrash = { at: String(at), timeUs, detail: JSON.stringify(detail), isFailure };
  return {
    // nomad-firehose gives its messages no id, and tells of a task event again after a restart.
    eventId: `${allocation}/${task}@${at}`,
    group: namedGroupKey(origin, '', name),
    followLineage: false,
    allocation,
    task,
    place: { cluster: origin.cluster, namespace: 'default', job: fields.text('JobID') ?? '', group: fields.text('GroupName') ?? '', task },
    links: [],
    // Only Hydrant's own messages of this kind say when they were published.
    modifiedAtUs: Math.max(timeUs, message.timestampMs * 1000),
    restarts: [],
    timed: [crash],
    failure: null,
    lastEvent: lastEvent(fields, event),
  };
}

function header(message: Message, name: string): string {
  const value = message.headers[name];
  return typeof value === 'string' ? value : 'default';
}
