/** Makes the message of a listed object: an event of the type `Snapshot` around the object's own bytes. */
import { makeEventMessage } from '@hydrant/shared/messages/event-message';
import type { Message } from '@hydrant/shared/messages/message';
import type { NomadList } from '../gap/nomad-lists.ts';
import type { ListedObject } from '../gap/parse-list.ts';
import { idStem, messageId } from './id.ts';
import type { Redact } from './redact.ts';
import { routingKey } from './routing-key.ts';

const type = 'Snapshot';

/** As Nomad fills them; what a list leaves out is missing here as well. */
function filterKeys(topic: string, { jobId, deploymentId }: ListedObject): readonly string[] | null {
  if (jobId === undefined) return null;
  return topic === 'Deployment' || deploymentId === undefined ? [jobId] : [jobId, deploymentId];
}

export interface SnapshotContext {
  /** What the id begins with. */
  readonly idPrefix: string;
  readonly cluster: string;
  /** As it stands in headers. */
  readonly region: string;
  readonly redact: Redact;
  readonly timestampMs: number;
}

export function makeSnapshotMessage(
  { idPrefix, cluster, region, redact, timestampMs }: SnapshotContext,
  { topic, payloadKey }: NomadList,
  object: ListedObject,
): Message {
  const { key, namespace, modifyIndex, bytes } = object;
  const head = {
    Topic: topic,
    Type: type,
    Key: key,
    Namespace: namespace,
    FilterKeys: filterKeys(topic, object),
    Index: modifyIndex,
  };
  const event = Buffer.concat([
    Buffer.from(`${JSON.stringify(head).slice(0, -1)},"Payload":{"${payloadKey}":`),
    bytes,
    Buffer.from('}}'),
  ]);
  const jobId = topic === 'Job' ? key : object.jobId;
  return makeEventMessage({
    cluster,
    region,
    index: modifyIndex,
    origin: 'snapshot',
    timestampMs,
    id: messageId(idStem(idPrefix, modifyIndex, { topic, namespace, key }), 'snapshot'),
    routingKey: routingKey({ topic, type, namespace, ...(jobId === undefined ? {} : { jobId }) }),
    topic,
    type,
    body: redact(event, 0, event.length, topic),
  });
}
