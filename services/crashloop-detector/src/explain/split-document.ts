/**
 * From a JSON document of a file to the messages that the detector would have received: a frame's events, a single
 * event, or a payload of nomad-firehose.
 */
import { forEachElement, forEachMember } from '@hydrant/shared/foundation/json-scanner';
import { makeEventMessage } from '@hydrant/shared/messages/event-message';
import type { Message } from '@hydrant/shared/messages/message';
import { readEventHead } from '@hydrant/shared/messages/nomad-event';

/**
 * `name` tells one line from another. Throws when it is no JSON object, or holds an event without Topic, Type or Index.
 */
export function splitDocument(line: Buffer, name: string): readonly Message[] {
  const members = new Set<string>();
  const events: Buffer[] = [];
  forEachMember(line, 0, (member, at) => {
    members.add(member);
    if (member === 'Events' && line[at] === 0x5b)
      forEachElement(line, at, (from, to) => {
        events.push(line.subarray(from, to));
      });
  });
  if (members.size === 0) return [];
  if (members.has('TaskEvent') && !members.has('Payload')) return [makePayloadMessage(line, name)];
  return (members.has('Events') ? events : [line]).map((event, at) => makeMessage(event, `${name}/${at}`));
}

function makeMessage(body: Buffer, id: string): Message {
  const { topic, type, index } = readEventHead(body, 0, body.length);
  const origin = type === 'Snapshot' ? 'snapshot' : 'stream';
  return makeEventMessage({
    cluster: 'default',
    region: 'global',
    index,
    origin,
    timestampMs: 0,
    id,
    routingKey: '',
    topic,
    type,
    body,
  });
}

/** nomad-firehose sends nothing but the body. */
function makePayloadMessage(body: Buffer, id: string): Message {
  return {
    id,
    routingKey: 'allocations',
    type: '',
    contentType: 'application/json',
    appId: '',
    timestampMs: 0,
    headers: {},
    body,
  };
}
