/** Bodies of HTTP requests. Message bodies are JSON already and are put together as they are, unparsed. */
import { createHash } from 'node:crypto';
import type { Batch } from '@hydrant/shared/delivery/sink';
import type { Message } from '@hydrant/shared/messages/message';
import { encodeUrlPart, plainText } from '../encoding/foreign-text.ts';
import { lineParts } from '../encoding/lines.ts';
import { isoTime } from '../encoding/time.ts';

export type HttpFormat = 'array' | 'ndjson' | 'single' | 'cloudevents';

export const contentTypes: Readonly<Record<HttpFormat, string>> = {
  array: 'application/json',
  ndjson: 'application/x-ndjson',
  single: 'application/json; charset=utf-8',
  cloudevents: 'application/cloudevents-batch+json; charset=utf-8',
};

const open = Buffer.from('[');
const comma = Buffer.from(',');
const close = Buffer.from(']');
const brace = Buffer.from('}');
/** Names and fixed values of a CloudEvent's attributes. */
const cloudEventBytes = 200;

/** The body of a request in parts, most of them the bodies of messages, uncopied. */
export function encodeBatch(batch: Batch, format: HttpFormat): Buffer[] {
  if (format === 'ndjson') return lineParts(batch);
  if (format === 'single') return batch.map((message) => message.body);
  const parts: Buffer[] = [];
  for (const message of batch) {
    parts.push(parts.length === 0 ? open : comma);
    if (format === 'array') parts.push(message.body);
    else parts.push(cloudEventHead(message), message.body, brace);
  }
  parts.push(close);
  return parts;
}

/** What the message adds to a body, nearly. */
export function encodedBytes(message: Message, format: HttpFormat): number {
  const bytes = message.body.length + 1;
  return format === 'cloudevents'
    ? bytes + cloudEventBytes + message.id.length + message.type.length + message.routingKey.length
    : bytes;
}

/** CloudEvents 1.0 in structured mode; the event itself is `data`. */
function cloudEventHead(message: Message): Buffer {
  const time = isoTime(message.timestampMs);
  const attributes = {
    specversion: '1.0',
    // n.b. CloudEvents wants id and type, and no subject rather than an empty one.
    id: plainText(message.id) || createHash('sha256').update(message.body).digest('hex'),
    source: `/nomad/${encodeUrlPart(String(message.headers['cluster'] ?? 'default'))}`,
    type: plainText(message.type) || 'unknown',
    ...(message.routingKey === '' ? {} : { subject: plainText(message.routingKey) }),
    ...(time === undefined ? {} : { time }),
    datacontenttype: 'application/json',
  };
  return Buffer.from(`${JSON.stringify(attributes).slice(0, -1)},"data":`);
}
