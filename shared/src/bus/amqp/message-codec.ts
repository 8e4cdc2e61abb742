/**
 * Messages of the bus to and from AMQP properties. Headers that a Message cannot hold (tables, lists) become JSON text.
 */
import type { ConsumeMessage, GetMessage, MessagePropertyHeaders, Options } from 'amqplib';
import type { HeaderValue, Message } from '../../messages/message.ts';
import { restoreReplayed } from '../dead-letters.ts';

/**
 * What RabbitMQ adds to a delivery, and what does not belong to the message: a repeat must look like the first time.
 */
const deliveryHeaders: ReadonlySet<string> = new Set(['x-delivery-count', 'x-acquired-count']);

export function toPublishOptions(message: Message, mandatory: boolean): Options.Publish {
  return {
    persistent: true,
    mandatory,
    messageId: message.id,
    type: message.type,
    contentType: message.contentType,
    appId: message.appId,
    timestamp: Math.floor(message.timestampMs / 1000),
    headers: message.headers,
  };
}

/** Also for messages that somebody else published: what is missing is empty. */
export function readDelivered(delivered: ConsumeMessage | GetMessage): Message {
  const { properties, fields } = delivered;
  const message = {
    id: readText(properties.messageId),
    routingKey: fields.routingKey,
    type: readText(properties.type),
    contentType: readText(properties.contentType),
    appId: readText(properties.appId),
    timestampMs: typeof properties.timestamp === 'number' ? properties.timestamp * 1000 : 0,
    headers: readHeaders(properties.headers),
    body: delivered.content,
  };
  // Only what was put back into its queue comes by the exchange without a name.
  return fields.exchange === '' ? restoreReplayed(message) : message;
}

function readText(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function readHeaders(headers: MessagePropertyHeaders | undefined): Record<string, HeaderValue> {
  const read: Record<string, HeaderValue> = {};
  for (const [name, value] of Object.entries<unknown>(headers ?? {})) {
    if (deliveryHeaders.has(name) || value === null || value === undefined) continue;
    if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') read[name] = value;
    else read[name] = JSON.stringify(value);
  }
  return read;
}
