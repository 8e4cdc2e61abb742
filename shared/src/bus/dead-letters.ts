/**
 * What becomes of a message that can never be delivered: the same id and bytes, with the reason in its headers; and how
 * it is made a message for its subscription again. Both adapters use it; where it is kept is theirs.
 */
import type { HeaderValue, Message } from '../messages/message.ts';

export interface DeadLetterReason {
  /** The subscription that gave up. */
  readonly subscription: string;
  /** Goes into the header `sink`. */
  readonly consumer: string;
  readonly reason: string;
  /** How often it was tried. */
  readonly attempts: number;
  /** Wall clock, milliseconds since 1970. */
  readonly failedAtMs: number;
}

/** A dead letter as it is read back. What RabbitMQ dead-lettered by itself says less. */
export interface DeadLetter {
  /** As it was before it failed. */
  readonly message: Message;
  readonly error: string;
  readonly attempts: number | undefined;
  /** RFC 3339; empty when it is not known. */
  readonly failedAt: string;
  readonly sink: string;
}

const maxReasonLength = 2_000;
// AMQP takes 64 KiB of headers at most; ours, with the longest reason in four-byte characters, stay far below the rest.
const maxOriginalHeaderBytes = 48 * 1024;

const routingKeyHeader = 'routing-key';
const ownHeaders: ReadonlySet<string> = new Set(['error', 'attempts', 'failed-at', 'sink', routingKeyHeader]);
const brokerHeaders = /^x-(?:death$|(?:first|last)-death-)/u;

/**
 * The message to keep: routed by the subscription's name; the routing key it came with is in the header `routing-key`.
 */
export function makeDeadLetter(message: Message, failure: DeadLetterReason): Message {
  return {
    ...message,
    routingKey: failure.subscription,
    headers: {
      ...keepHeaders(message.headers),
      error: failure.reason.slice(0, maxReasonLength),
      attempts: failure.attempts,
      'failed-at': new Date(failure.failedAtMs).toISOString(),
      sink: failure.consumer,
      [routingKeyHeader]: message.routingKey,
    },
  };
}

export function readDeadLetter(kept: Message): DeadLetter {
  const { error, attempts, sink, 'failed-at': failedAt, [routingKeyHeader]: routingKey } = kept.headers;
  const broker = readBrokerDeath(kept.headers['x-death']);
  const headers = Object.fromEntries(
    Object.entries(kept.headers).filter(([name]) => !ownHeaders.has(name) && !brokerHeaders.test(name)),
  );
  return {
    message: {
      ...kept,
      routingKey: typeof routingKey === 'string' ? routingKey : (broker.routingKey ?? kept.routingKey),
      headers,
    },
    error: typeof error === 'string' ? error : broker.error,
    attempts: typeof attempts === 'number' ? attempts : undefined,
    failedAt: typeof failedAt === 'string' ? failedAt : '',
    sink: typeof sink === 'string' ? sink : '',
  };
}

/**
 * The message for one subscription alone: `destination` is what only that one gets. `restoreReplayed` undoes it on the
 * other side.
 */
export function makeReplayed({ message }: DeadLetter, destination: string): Message {
  return {
    ...message,
    routingKey: destination,
    headers: { ...message.headers, [routingKeyHeader]: message.routingKey },
  };
}

/** A message that was put back, as it was when it came the first time. */
export function restoreReplayed(message: Message): Message {
  const { [routingKeyHeader]: routingKey, ...headers } = message.headers;
  return typeof routingKey === 'string' ? { ...message, routingKey, headers } : message;
}

/** RabbitMQ's own account: a list of tables, which the bus hands over as JSON. */
function readBrokerDeath(header: HeaderValue | undefined): {
  readonly error: string;
  readonly routingKey: string | undefined;
} {
  const unknown = { error: 'no reason is given', routingKey: undefined };
  if (typeof header !== 'string') return unknown;
  try {
    const [death] = JSON.parse(header) as readonly {
      readonly reason?: unknown;
      readonly 'routing-keys'?: readonly unknown[];
    }[];
    const routingKey = death?.['routing-keys']?.[0];
    return {
      error: `RabbitMQ dead-lettered it: ${String(death?.reason)}`,
      routingKey: typeof routingKey === 'string' ? routingKey : undefined,
    };
  } catch {
    return unknown;
  }
}

/** Headers so large that ours no longer fit beside them are given up: the body matters more. */
function keepHeaders(headers: Readonly<Record<string, HeaderValue>>): Readonly<Record<string, HeaderValue>> {
  let bytes = 0;
  for (const [name, value] of Object.entries(headers))
    bytes += Buffer.byteLength(name) + Buffer.byteLength(String(value)) + 8;
  return bytes > maxOriginalHeaderBytes ? {} : headers;
}
