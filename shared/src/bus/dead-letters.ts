/**
 * What becomes of a message that can never be delivered: the same id and bytes, with the reason in its headers. Both adapters use it; where it is kept is theirs.
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

const maxReasonLength = 2_000;
// AMQP takes 64 KiB of headers at most; ours, with the longest reason in four-byte characters, stay far below the rest.
const maxOriginalHeaderBytes = 48 * 1024;

/** The message to keep: routed by the subscription's name; the routing key it came with is in the header `routing-key`. */
export function makeDeadLetter(message: Message, failure: DeadLetterReason): Message {
  return {
    ...message,
    routingKey: failure.subscription,
    headers: {
      ...keepHeaders(message.headers),
      'error': failure.reason.slice(0, maxReasonLength),
      'attempts': failure.attempts,
      'failed-at': new Date(failure.failedAtMs).toISOString(),
      'sink': failure.consumer,
      'routing-key': message.routingKey,
    },
  };
}

/** Headers so large that ours no longer fit beside them are given up: the body matters more. */
function keepHeaders(headers: Readonly<Record<string, HeaderValue>>): Readonly<Record<string, HeaderValue>> {
  let bytes = 0;
  for (const [name, value] of Object.entries(headers)) bytes += Buffer.byteLength(name) + Buffer.byteLength(String(value)) + 8;
  return bytes > maxOriginalHeaderBytes ? {} : headers;
}
