/**
 * How a message becomes a syslog message (RFC 5424) and how those follow one another on a stream (RFC 6587, octet
 * counting).
 */
import type { Message } from '@hydrant/shared/messages/message';
import { encodeLines } from '../encoding/lines.ts';
import { isoTime } from '../encoding/time.ts';

export interface Origin {
  readonly host: string;
  /** APP-NAME. */
  readonly tag: string;
  readonly pid: number;
}

/** Facility user (1), severity notice (5): that of nomad-firehose. */
const priority = 13;
const most = { host: 255, tag: 48, messageId: 32 };

/** The body on one line. */
export function toLine(message: Message): Buffer {
  return encodeLines([message]).subarray(0, -1);
}

export function toRfc5424(message: Message, { host, tag, pid }: Origin): Buffer {
  const time = isoTime(message.timestampMs) ?? '-';
  const messageId = message.type.replace(/^nomad\./u, '');
  return Buffer.concat([
    Buffer.from(
      `<${String(priority)}>1 ${time} ${name(host, most.host)} ${name(tag, most.tag)} ${String(pid)} ${name(messageId, most.messageId)} - `,
    ),
    toLine(message),
  ]);
}

export function countOctets(syslogMessage: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`${String(syslogMessage.length)} `), syslogMessage]);
}

/** Printable ASCII without blanks; `-` stands for nothing. */
function name(text: string, max: number): string {
  return text.replaceAll(/[^!-~]/gu, '_').slice(0, max) || '-';
}
