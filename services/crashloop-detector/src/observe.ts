/**
 * From a message to what it proves: the whole way from bytes to observations, without any input or output.
 * Only messages with an event's body arrive here for parsing; most are told apart by their bytes.
 *
 * Seam: nomad-firehose's `allocations` payload would be told apart by its shape here, and read into the same observations.
 */
import { HydrantError } from '@hydrant/shared/foundation/errors';
import { readEventMessage } from '@hydrant/shared/messages/event-message';
import type { Message } from '@hydrant/shared/messages/message';
import type { Observation, ObservedCrash } from './ledger/ledger.ts';
import { makeLastEvent } from './alerts/last-event.ts';
import { extractCrashes, type Failure, type TaskCrashes } from './crashes/extract-crashes.ts';
import { allocationKey, groupKey, lineageLinks, type GroupBy, type Origin } from './crashes/lineage.ts';
import { mentionsRestart } from './crashes/mentions-restart.ts';
import { parseEvent, readAllocation, type Allocation } from './crashes/read-allocation.ts';

/** Where an alert says its crashes are from. */
export interface Place {
  readonly cluster: string;
  readonly namespace: string;
  readonly job: string;
}

export type Input =
  /** An event of another topic: a binding is wider than it needs to be. */
  | { readonly kind: 'foreign' }
  | { readonly kind: 'no-crash' }
  | { readonly kind: 'crash'; readonly place: Place; readonly observations: readonly Observation[] };

/** Throws a permanent error when the message is no event, or an allocation event without the fields that matter. */
export function observe(message: Message, groupBy: GroupBy): Input {
  const { topic, cluster, region } = readEventMessage(message);
  if (topic !== 'Allocation') return { kind: 'foreign' };
  if (!looksLikeObject(message.body)) throw noObject(message);
  if (!mentionsRestart(message.body)) return { kind: 'no-crash' };

  const allocation = readAllocation(parseEvent(message.body));
  const observations = extractCrashes(allocation).map((crashes) => makeObservation(message.id, { cluster, region }, allocation, crashes, groupBy));
  if (observations.length === 0) return { kind: 'no-crash' };
  return { kind: 'crash', place: { cluster, namespace: allocation.namespace, job: allocation.jobId }, observations };
}

function makeObservation(eventId: string, origin: Origin, allocation: Allocation, crashes: TaskCrashes, groupBy: GroupBy): Observation {
  const newest = newestCrash(crashes);
  return {
    eventId,
    group: groupKey(origin, allocation, crashes.task.name, groupBy),
    followLineage: groupBy === 'lineage',
    allocation: allocationKey(origin, allocation.id),
    task: crashes.task.name,
    links: groupBy === 'lineage' ? lineageLinks(origin, allocation) : [],
    modifiedAtUs: microseconds(allocation.modifyTimeNs),
    restarts: crashes.restarts.map((restart) => ({ ...observed(restart), number: restart.number, kind: restart.kind })),
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
