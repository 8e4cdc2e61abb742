/**
 * From a message to what it proves: the whole way from bytes to observations, without any input or output.
 * Only messages with an event's body arrive here for parsing; most are told apart by their bytes. nomad-firehose's `allocations` payload is told
 * apart by its shape.
 */
import { HydrantError } from '@hydrant/shared/foundation/errors';
import { readEventMessage } from '@hydrant/shared/messages/event-message';
import type { Message } from '@hydrant/shared/messages/message';
import type { Observation, ObservedCrash } from './ledger/ledger.ts';
import { makeLastEvent } from './crashes/last-event.ts';
import { extractCrashes, type Failure, type TaskCrashes } from './crashes/extract-crashes.ts';
import { allocationKey, groupKey, lineageLinks, type GroupBy, type Origin } from './crashes/lineage.ts';
import { mayHoldCrash } from './crashes/may-hold-crash.ts';
import { observeFirehoseMessage } from './crashes/read-nomad-firehose-message.ts';
import { readAllocation, type Allocation } from './crashes/read-allocation.ts';

export type Input =
  /** An event of another topic: a binding is wider than it needs to be. */
  | { readonly kind: 'foreign' }
  | { readonly kind: 'no-crash' }
  | { readonly kind: 'crash'; readonly observations: readonly Observation[] };

/** `nowMs`: wall clock, for messages without a time of the servers. Throws a permanent error when the message is no event, or an allocation event without the fields that matter. */
export function readObservations(message: Message, groupBy: GroupBy, nowMs = Infinity): Input {
  return observeFirehose(message, nowMs) ?? observeEvent(message, groupBy);
}

/** Undefined when it is none of nomad-firehose's messages. Events say what they are in their type. */
function observeFirehose(message: Message, nowMs: number): Input | undefined {
  if (message.type.startsWith('nomad.') || !looksLikeObject(message.body)) return undefined;
  const observations = observeFirehoseMessage(message, nowMs);
  if (observations === undefined) return undefined;
  return observations.length === 0 ? { kind: 'no-crash' } : { kind: 'crash', observations };
}

function observeEvent(message: Message, groupBy: GroupBy): Input {
  const { topic, cluster, region } = readEventMessage(message);
  if (topic !== 'Allocation') return { kind: 'foreign' };
  if (!looksLikeObject(message.body)) throw noObject(message);
  if (!mayHoldCrash(message.body)) return { kind: 'no-crash' };

  const allocation = readAllocation(message.body);
  const observations = extractCrashes(allocation).map((crashes) => makeObservation(message.id, { cluster, region }, allocation, crashes, groupBy));
  if (observations.length === 0) return { kind: 'no-crash' };
  return { kind: 'crash', observations };
}

function makeObservation(eventId: string, origin: Origin, allocation: Allocation, crashes: TaskCrashes, groupBy: GroupBy): Observation {
  const newest = newestCrash(crashes);
  return {
    eventId,
    group: groupKey(origin, allocation, crashes.task.name, groupBy),
    followLineage: groupBy === 'lineage',
    allocation: allocationKey(origin, allocation.id),
    task: crashes.task.name,
    place: { cluster: origin.cluster, namespace: allocation.namespace, job: allocation.jobId, group: allocation.group, task: crashes.task.name },
    links: groupBy === 'lineage' ? lineageLinks(origin, allocation) : [],
    modifiedAtUs: microseconds(allocation.modifyTimeNs),
    restarts: crashes.restarts.map((restart) => ({ ...observed(restart), number: restart.number, kind: restart.kind })),
    timed: [],
    failure: crashes.failure === null ? null : observed(crashes.failure),
    lastEvent: newest === null ? null : makeLastEvent(allocation, crashes.task, newest.event),
  };
}

function newestCrash({ restarts, failure }: TaskCrashes): Failure | null {
  const restart = restarts.findLast(({ kind }) => kind === 'crash') ?? null;
  if (restart === null || failure === null) return failure ?? restart;
  return failure.timeNs >= restart.timeNs ? failure : restart;
}

function observed({ timeNs, detail }: Failure): ObservedCrash {
  return { timeUs: microseconds(timeNs), detail: JSON.stringify(detail) };
}

function microseconds(ns: bigint): number {
  return Number(ns / 1000n);
}

function looksLikeObject(body: Buffer): boolean {
  return body[0] === 0x7b && body.includes(0x7d, -2);
}

function noObject(message: Message): HydrantError {
  const text = `Expected the message "${message.id}" to be an Allocation event in JSON, got ${message.body.length} bytes that are no object`;
  return new HydrantError(text, { code: 'event-invalid', retryable: false });
}
