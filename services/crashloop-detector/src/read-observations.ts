/**
 * From a message to what it proves: the whole way from bytes to observations, without any input or output. Only
 * messages with an event's body arrive here for parsing; most are told apart by their bytes. nomad-firehose's
 * `allocations` payload is told apart by its shape.
 */
import { HydrantError } from '@hydrant/shared/foundation/errors';
import { readEventMessage } from '@hydrant/shared/messages/event-message';
import type { Message } from '@hydrant/shared/messages/message';
import type { Observation, ObservedCrash } from './ledger/ledger.ts';
import { makeLastEvent } from './crashes/last-event.ts';
import { extractCrashes, type Crash, type TaskCrashes } from './crashes/extract-crashes.ts';
import { allocationKey, groupKey, lineageLinks, type GroupBy, type Origin } from './crashes/lineage.ts';
import { mayHoldStatus } from './crashes/may-hold-crash.ts';
import { observeFirehoseMessage } from './crashes/read-nomad-firehose-message.ts';
import { readAllocation, type Allocation } from './crashes/read-allocation.ts';
import { readTaskStatus } from './crashes/task-status.ts';

export type Input =
  /** An event of another topic: a binding is wider than it needs to be. */
  | { readonly kind: 'foreign' }
  | {
      /** Without a crash, an observation tells what became of a task. */
      readonly kind: 'no-crash' | 'crash';
      readonly observations: readonly Observation[];
      /** Why parts of the event were left out. */
      readonly odd: readonly Error[];
    };

/**
 * `nowMs`: wall clock, for messages without a time of the servers. Throws a permanent error when the message is no
 * event, or an allocation event without the fields that matter.
 */
export function readObservations(message: Message, groupBy: GroupBy, nowMs = Infinity): Input {
  return observeFirehose(message, nowMs) ?? observeEvent(message, groupBy);
}

/** Undefined when it is none of nomad-firehose's messages. Events say what they are in their type. */
function observeFirehose(message: Message, nowMs: number): Input | undefined {
  if (message.type.startsWith('nomad.') || !looksLikeObject(message.body)) return undefined;
  const observations = observeFirehoseMessage(message, nowMs);
  if (observations === undefined) return undefined;
  return { kind: observations.some(showsCrash) ? 'crash' : 'no-crash', observations, odd: [] };
}

function observeEvent(message: Message, groupBy: GroupBy): Input {
  const { topic, cluster, region } = readEventMessage(message);
  if (topic !== 'Allocation') return { kind: 'foreign' };
  if (!looksLikeObject(message.body)) throw noObject(message);
  if (!mayHoldStatus(message.body)) return { kind: 'no-crash', observations: [], odd: [] };

  const allocation = readAllocation(message.body);
  const observations = extractCrashes(allocation).map((crashes) =>
    makeObservation(message.id, { cluster, region }, allocation, crashes, groupBy),
  );
  return { kind: observations.some(showsCrash) ? 'crash' : 'no-crash', observations, odd: allocation.odd };
}

export function showsCrash({ restarts, timed }: Observation): boolean {
  return restarts.length > 0 || timed.length > 0;
}

function makeObservation(
  eventId: string,
  origin: Origin,
  allocation: Allocation,
  crashes: TaskCrashes,
  groupBy: GroupBy,
): Observation {
  const { task, restarts, failures } = crashes;
  const newest = newestCrash(crashes);
  const modifiedAtUs = microseconds(allocation.modifyTimeNs);
  return {
    eventId,
    group: groupKey(origin, allocation, task.name, groupBy),
    followLineage: groupBy === 'lineage',
    allocation: allocationKey(origin, allocation.id),
    task: task.name,
    place: {
      cluster: origin.cluster,
      namespace: allocation.namespace,
      job: allocation.jobId,
      group: allocation.group,
      task: task.name,
    },
    node: allocation.node,
    links: groupBy === 'lineage' ? lineageLinks(origin, allocation) : [],
    modifiedAtUs,
    createdAtUs: allocation.createTimeNs === null ? null : microseconds(allocation.createTimeNs),
    firstSeenUs: task.events[0] === undefined ? modifiedAtUs : microseconds(task.events[0].timeNs),
    restarts: restarts.map((restart) => ({ ...observed(restart), number: restart.number, kind: restart.kind })),
    timed: failures.map((failure) => ({ ...observed(failure), at: String(failure.event.timeNs), isFailure: true })),
    status: readTaskStatus(allocation, task),
    lastEvent: newest === null ? null : makeLastEvent(allocation, task, newest.event),
  };
}

function newestCrash({ restarts, failures }: TaskCrashes): Crash | null {
  const restart = restarts.findLast(({ kind }) => kind === 'crash') ?? null;
  const failure = failures.at(-1) ?? null;
  if (restart === null || failure === null) return failure ?? restart;
  return failure.timeNs >= restart.timeNs ? failure : restart;
}

function observed({ timeNs, ranNs, detail }: Crash): ObservedCrash {
  return {
    timeUs: microseconds(timeNs),
    timeNs: String(timeNs),
    detail: JSON.stringify(detail),
    ranUs: ranNs === undefined ? undefined : microseconds(ranNs),
  };
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
