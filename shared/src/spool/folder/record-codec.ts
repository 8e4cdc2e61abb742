/**
 * One record of the log on disk: `length u32 | crc32 u32 | metadata length u32 | metadata as JSON | body`, numbers big-endian.
 * `length` counts what follows the checksum, and the checksum covers it.
 */
import { crc32 } from 'node:zlib';
import type { HeaderValue, Message } from '../../messages/message.ts';

/** The part before the checksummed bytes. */
export const recordHeadBytes = 8;
const metadataLengthBytes = 4;

type Metadata = readonly [
  id: string, routingKey: string, type: string, contentType: string, appId: string, timestampMs: number, headers: Readonly<Record<string, HeaderValue>>,
];

function encodeMetadata({ id, routingKey, type, contentType, appId, timestampMs, headers }: Message): string {
  return JSON.stringify([id, routingKey, type, contentType, appId, timestampMs, headers] satisfies Metadata);
}

/** The records of several messages, one after the other in one buffer. */
export function encodeRecords(messages: readonly Message[]): Buffer {
  const metadata = messages.map(encodeMetadata);
  let size = 0;
  for (const [n, message] of messages.entries()) {
    size += recordHeadBytes + metadataLengthBytes + Buffer.byteLength(metadata[n] ?? '') + message.body.length;
  }

  const bytes = Buffer.allocUnsafe(size);
  let at = 0;
  for (const [n, message] of messages.entries()) {
    const content = at + recordHeadBytes;
    const metadataBytes = bytes.write(metadata[n] ?? '', content + metadataLengthBytes);
    bytes.writeUInt32BE(metadataBytes, content);
    const body = content + metadataLengthBytes + metadataBytes;
    const end = body + message.body.length;
    bytes.set(message.body, body);
    bytes.writeUInt32BE(end - content, at);
    bytes.writeUInt32BE(crc32(bytes.subarray(content, end)), at + 4);
    at = end;
  }
  return bytes;
}

/** Index after the record that begins at `at`, as its length says, or undefined where its head is not all there. */
export function recordEnd(bytes: Buffer, at: number): number | undefined {
  return bytes.length - at < recordHeadBytes ? undefined : at + recordHeadBytes + bytes.readUInt32BE(at);
}

/** True when the checksum of the record that fills `at` to `end` is right. */
export function isIntact(bytes: Buffer, at: number, end: number): boolean {
  const content = at + recordHeadBytes;
  return end - content > metadataLengthBytes && crc32(bytes.subarray(content, end)) === bytes.readUInt32BE(at + 4);
}

/** The message of an intact record. Its body is a view of `bytes`, not a copy. */
export function decodeRecord(bytes: Buffer, at: number, end: number): Message {
  const metadataStart = at + recordHeadBytes + metadataLengthBytes;
  const bodyStart = metadataStart + bytes.readUInt32BE(at + recordHeadBytes);
  const [id, routingKey, type, contentType, appId, timestampMs, headers] = JSON.parse(bytes.toString('utf8', metadataStart, bodyStart)) as Metadata;
  return { id, routingKey, type, contentType, appId, timestampMs, headers, body: bytes.subarray(bodyStart, end) };
}
