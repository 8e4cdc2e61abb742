/**
 * The message that carries one Nomad event: how it is built and how it is read back. The body is the event's own bytes.
 * `format` 1 is this arrangement of headers; a consumer that meets another number must not guess.
 */
import { HydrantError } from '../foundation/errors.ts';
import type { HeaderValue, Message } from './message.ts';

/** `stream`: as Nomad sent it; `snapshot`: made from a list to heal a gap. */
export type EventOrigin = 'stream' | 'snapshot';

/** What all events of one frame share. */
export interface EventContext {
  readonly cluster: string;
  readonly region: string;
  readonly index: number;
  readonly origin: EventOrigin;
  readonly timestampMs: number;
}

export interface EventParts {
  readonly id: string;
  readonly routingKey: string;
  readonly topic: string;
  readonly type: string;
  readonly body: Buffer;
}

export interface EventMessage {
  readonly cluster: string;
  readonly region: string;
  readonly index: number;
  readonly origin: EventOrigin;
  readonly topic: string;
  readonly type: string;
}

const format = 1;

/** The messages of the events of one frame, which share their headers. */
export function makeEventMessages(context: EventContext, events: readonly EventParts[]): Message[] {
  const { cluster, region, index, origin, timestampMs } = context;
  const headers: Readonly<Record<string, HeaderValue>> = { cluster, region, index, origin, format };
  return events.map(({ id, routingKey, topic, type, body }) => ({
    id,
    routingKey,
    type: `nomad.${topic}.${type}`,
    contentType: 'application/json',
    appId: 'hydrant-firehose',
    timestampMs,
    headers,
    body,
  }));
}

export function makeEventMessage(parts: EventContext & EventParts): Message {
  const [message] = makeEventMessages(parts, [parts]);
  if (message === undefined) throw new Error('Expected one message for one event');
  return message;
}

function refuse(message: Message, expected: string): never {
  throw new HydrantError(`Expected the message ${JSON.stringify(message.id)} to carry a Nomad event with ${expected}`, {
    code: 'message-not-event',
    retryable: false,
  });
}

function readText(message: Message, name: string): string {
  const value = message.headers[name];
  return typeof value === 'string' ? value : refuse(message, `the header ${name}`);
}

/** Throws `message-not-event` (permanent) when the message is none, or of another format. */
export function readEventMessage(message: Message): EventMessage {
  const { index, origin } = message.headers;
  const [, topic, type] =
    /^nomad\.([^.]*)\.(.*)$/su.exec(message.type) ?? refuse(message, 'the type nomad.<Topic>.<Type>');
  if (message.headers['format'] !== format) refuse(message, `the header format ${String(format)}`);
  if (typeof index !== 'number') refuse(message, 'a number as header index');
  if (origin !== 'stream' && origin !== 'snapshot') refuse(message, 'the header origin (stream or snapshot)');
  return {
    cluster: readText(message, 'cluster'),
    region: readText(message, 'region'),
    index,
    origin,
    topic: topic ?? '',
    type: type ?? '',
  };
}
