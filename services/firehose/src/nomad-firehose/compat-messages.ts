/**
 * Makes nomad-firehose's messages out of Nomad's events, beside the events themselves. An object is told of when it
 * changed, which is when its ModifyIndex is the event's index: events that repeat an unchanged object, and deletions,
 * gave nothing there and give nothing here.
 */
import type { Message } from '@hydrant/shared/messages/message';
import { toError } from '@hydrant/shared/foundation/errors';
import type { EventHead } from '@hydrant/shared/messages/nomad-event';
import { compatKeys } from '@hydrant/shared/messages/routing-keys';
import { boundId } from '../message/id.ts';
import { readAllocationUpdates } from './allocation-updates.ts';
import type { JsonObject } from './go-types.ts';
import { writeAllocationUpdate, writeDeployment, writeEvaluation, writeJob, writeNode } from './payloads.ts';
import { findObject, readObject } from './read-event.ts';
import { createSeenTaskEvents } from './seen-task-events.ts';
import { unpackSnappy } from './snappy.ts';

/** Named as nomad-firehose's commands, and so are the routing keys. */
export const compatResources = compatKeys;
export type CompatResource = (typeof compatResources)[number];
/** Those that an event is enough for; job stubs are made of a list (job-stubs.ts). */
type EventResource = Exclude<CompatResource, 'jobliststubs'>;

export interface CompatTelemetry {
  compatMade(resource: CompatResource, messages: number): void;
  /** The event is published all the same. */
  compatFailed(failure: { readonly resource: CompatResource; readonly event: string; readonly err: Error }): void;
}

/** What is to be known of an event: of the stream, or of a listed object. */
export interface CompatEvent {
  /** Undefined: it has none. */
  readonly head: Pick<EventHead, 'topic' | 'index'> | undefined;
}

export interface CompatMessages {
  /**
   * What nomad-firehose would have said of these events. `messages` are the events' own, as they are published, in the
   * same order.
   */
  make(events: readonly CompatEvent[], messages: readonly Message[]): Message[];
  /** What was made since the last call is taken over, and is not made again. */
  settle(): void;
  /** What was made since then was not taken over, and may be made again. */
  forget(): void;
}

/** An allocation takes about half a kilobyte here. */
const rememberedAllocations = 20_000;

export const topicOfResource: Readonly<Record<CompatResource, string>> = {
  allocations: 'Allocation',
  nodes: 'Node',
  evaluations: 'Evaluation',
  jobs: 'Job',
  jobliststubs: 'Job',
  deployments: 'Deployment',
};

/**
 * Nomad's lists and objects have the payload unpacked, its stream does not. What is packed otherwise, such as a
 * redacted one, stays.
 */
function unpackPayload(job: JsonObject): JsonObject {
  const { Payload: payload } = job;
  const unpacked = typeof payload === 'string' ? unpackSnappy(Buffer.from(payload, 'base64')) : undefined;
  return unpacked === undefined ? job : { ...job, Payload: unpacked.toString('base64') };
}

const writers: Readonly<Record<EventResource, (object: JsonObject, isOfStream: boolean) => string>> = {
  allocations: writeAllocationUpdate,
  nodes: writeNode,
  evaluations: writeEvaluation,
  jobs: (job, isOfStream) => writeJob(isOfStream ? unpackPayload(job) : job),
  deployments: writeDeployment,
};

/** What a compat message takes over from the event. */
export type MessageContext = Pick<Message, 'contentType' | 'appId' | 'timestampMs' | 'headers'>;

interface Made {
  readonly id: string;
  readonly fields: JsonObject;
}

/** `context` is the event, or what would be said of one. */
export function makeCompatMessage(
  resource: CompatResource,
  id: string,
  context: MessageContext,
  body: Buffer,
): Message {
  return { ...context, id: boundId(id), routingKey: resource, type: `nomad-firehose.${resource}`, body };
}

export function createCompatMessages(
  resources: readonly CompatResource[],
  cluster: string,
  telemetry: CompatTelemetry,
): CompatMessages {
  const seen = createSeenTaskEvents(rememberedAllocations);
  const eventResources = resources.filter((resource): resource is EventResource => resource !== 'jobliststubs');

  function find(resource: EventResource, head: Pick<EventHead, 'topic' | 'index'>, { id, body }: Message): Made[] {
    const object = findObject(body, head.topic);
    if (object === undefined || object.isDeleted) return [];
    // n.b. what is new in an allocation its task events tell, whatever its ModifyIndex says.
    if (resource === 'allocations')
      return readAllocationUpdates(body, object.start, seen).map(({ identity, fields }) => ({
        id: `${cluster}/allocations/${identity}`,
        fields,
      }));
    return object.modifyIndex === head.index
      ? [{ id: `${id}/${resource}`, fields: readObject(body, object.start, object.end) }]
      : [];
  }

  /** Undefined when it failed, which is told. */
  function attempt<T>(resource: CompatResource, event: Message, action: () => T): T | undefined {
    try {
      return action();
    } catch (thrown) {
      telemetry.compatFailed({ resource, event: event.id, err: toError(thrown) });
      return undefined;
    }
  }

  function makeFor(head: Pick<EventHead, 'topic' | 'index'>, event: Message): Message[] {
    const resource = eventResources.find((candidate) => topicOfResource[candidate] === head.topic);
    if (resource === undefined) return [];
    const messages: Message[] = [];
    for (const { id, fields } of attempt(resource, event, () => find(resource, head, event)) ?? []) {
      const body = attempt(resource, event, () =>
        Buffer.from(writers[resource](fields, event.headers['origin'] === 'stream')),
      );
      if (body !== undefined) messages.push(makeCompatMessage(resource, id, event, body));
    }
    if (messages.length > 0) telemetry.compatMade(resource, messages.length);
    return messages;
  }

  return {
    make(events, messages) {
      if (eventResources.length === 0) return [];
      return events.flatMap(({ head }, position) => {
        const event = messages[position];
        return head === undefined || event === undefined ? [] : makeFor(head, event);
      });
    },
    settle: seen.settle,
    forget: seen.forget,
  };
}
