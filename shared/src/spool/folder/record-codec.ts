/**
 * One record of the log on disk: a head of 22 bytes, then the content. Numbers are big-endian.
 *
 *     magic u32 | content length u32 | position u48 | checksum of the content u32 | checksum of the head so far u32
 *     metadata length u32 | metadata as JSON | body
 *
 * The head has a checksum of its own, so that a damaged content does not hide where the next record begins. The magic
 * begins with a byte that no text in UTF-8 holds, so a reader that lost its way behind a damaged head finds the next
 * one by it.
 */
import { crc32 } from 'node:zlib';
import type { HeaderValue, Message } from '../../messages/message.ts';

export const recordHeadBytes = 22;
const metadataLengthBytes = 4;
const headChecksumAt = recordHeadBytes - 4;
/** As bytes, to be searched for. */
export const recordMagic = Buffer.from([0xff, 0x48, 0x59, 0x32]);
const magic = recordMagic.readUInt32BE();
/** Largest position of a record. */
export const maxPosition = 2 ** 48 - 1;

export interface RecordHead {
  readonly position: number;
  /** Bytes of the whole record. */
  readonly size: number;
}

export interface EncodedRecords {
  readonly bytes: Buffer;
  /** Where each record begins. */
  readonly offsets: readonly number[];
}

type Metadata = readonly [
  id: string,
  routingKey: string,
  type: string,
  contentType: string,
  appId: string,
  timestampMs: number,
  headers: Readonly<Record<string, HeaderValue>>,
];

function encodeMetadata({ id, routingKey, type, contentType, appId, timestampMs, headers }: Message): string {
  return JSON.stringify([id, routingKey, type, contentType, appId, timestampMs, headers] satisfies Metadata);
}

/** The records of several messages, one after the other in one buffer, still without their positions. */
export function encodeRecords(messages: readonly Message[]): EncodedRecords {
  const metadata = messages.map(encodeMetadata);
  let size = 0;
  for (const [n, message] of messages.entries()) {
    size += recordHeadBytes + metadataLengthBytes + Buffer.byteLength(metadata[n] ?? '') + message.body.length;
  }

  const bytes = Buffer.allocUnsafe(size);
  const offsets: number[] = [];
  let at = 0;
  for (const [n, message] of messages.entries()) {
    offsets.push(at);
    const content = at + recordHeadBytes;
    const metadataBytes = bytes.write(metadata[n] ?? '', content + metadataLengthBytes);
    bytes.writeUInt32BE(metadataBytes, content);
    const body = content + metadataLengthBytes + metadataBytes;
    const end = body + message.body.length;
    bytes.set(message.body, body);
    bytes.writeUInt32BE(magic, at);
    bytes.writeUInt32BE(end - content, at + 4);
    bytes.writeUInt32BE(crc32(bytes.subarray(content, end)), at + 14);
    at = end;
  }
  return { bytes, offsets };
}

/** Gives the records their positions, from `first` on: only who writes them knows. */
export function numberRecords({ bytes, offsets }: EncodedRecords, first: number): void {
  let position = first;
  for (const at of offsets) {
    bytes.writeUIntBE(position, at + 8, 6);
    bytes.writeUInt32BE(crc32(bytes.subarray(at, at + headChecksumAt)), at + headChecksumAt);
    position += 1;
  }
}

/** The head of the record that begins at `at`; undefined when there is none, or not all of it, or it is damaged. */
export function readHead(bytes: Buffer, at: number): RecordHead | undefined {
  if (bytes.length - at < recordHeadBytes || bytes.readUInt32BE(at) !== magic) return undefined;
  if (crc32(bytes.subarray(at, at + headChecksumAt)) !== bytes.readUInt32BE(at + headChecksumAt)) return undefined;
  return { position: bytes.readUIntBE(at + 8, 6), size: recordHeadBytes + bytes.readUInt32BE(at + 4) };
}

/** True when the content of the record that fills `at` to `end` is as it was written. */
export function isIntact(bytes: Buffer, at: number, end: number): boolean {
  return crc32(bytes.subarray(at + recordHeadBytes, end)) === bytes.readUInt32BE(at + 14);
}

/** The message of an intact record. Its body is a view of `bytes`, not a copy. */
export function decodeRecord(bytes: Buffer, at: number, end: number): Message {
  const metadataStart = at + recordHeadBytes + metadataLengthBytes;
  const bodyStart = metadataStart + bytes.readUInt32BE(at + recordHeadBytes);
  const [id, routingKey, type, contentType, appId, timestampMs, headers] = JSON.parse(
    bytes.toString('utf8', metadataStart, bodyStart),
  ) as Metadata;
  return { id, routingKey, type, contentType, appId, timestampMs, headers, body: bytes.subarray(bodyStart, end) };
}
