/** Bodies of HTTP requests. Message bodies are JSON already and are put together as they are, unparsed. */
import type { Batch } from '@hydrant/shared/delivery/sink';
import type { Message } from '@hydrant/shared/messages/message';

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
const lineEnd = Buffer.from('\n');
const brace = Buffer.from('}');

export function encodeBatch(batch: Batch, format: HttpFormat): Buffer {
  if (format === 'ndjson' || format === 'single') {
    return Buffer.concat(batch.flatMap((message) => (format === 'single' ? [message.body] : [message.body, lineEnd])));
  }
  const parts: Buffer[] = [];
  for (const message of batch) {
    parts.push(parts.length === 0 ? open : comma);
    if (format === 'array') parts.push(message.body);
    else parts.push(cloudEventHead(message), message.body, brace);
  }
  return Buffer.concat([...parts, close]);
}

/** CloudEvents 1.0 in structured mode; the event itself is `data`. */
function cloudEventHead(message: Message): Buffer {
  const attributes = {
    specversion: '1.0',
    id: message.id,
    source: `/nomad/${String(message.headers['cluster'] ?? 'default')}`,
    type: message.type,
    subject: message.routingKey,
    time: new Date(message.timestampMs).toISOString(),
    datacontenttype: message.contentType,
  };
  return Buffer.from(`${JSON.stringify(attributes).slice(0, -1)},"data":`);
}
