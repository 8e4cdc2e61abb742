/**
 * A task event whose fields are looked for only when they are asked for: of the ten in a task most are never looked
 * into. Type and time stand at the end of what Nomad writes, whose keys are sorted; when they do not, all fields are
 * read.
 */
import { skipValue } from '@hydrant/shared/foundation/json-scanner';
import { nanoseconds } from './nanoseconds.ts';
import { RawObject } from './raw-object.ts';

const tail = '","ValidationError":"","VaultError":""}';
const typeMark = ',"Type":"';
const timeMark = ',"Time":';

export class TaskEvent {
  readonly type: string;
  /** Index after the event. */
  readonly end: number;
  readonly #bytes: Buffer;
  readonly #start: number;
  readonly #time: string | undefined;
  #fields: RawObject | undefined;

  /** An object begins at `start`. Throws `json-malformed`, or `event-invalid` without a type or a time. */
  constructor(bytes: Buffer, start: number) {
    this.#bytes = bytes;
    this.#start = start;
    this.end = skipValue(bytes, start);
    const head = readHead(bytes, start, this.end);
    if (head === undefined) nanoseconds(this.fields, 'Time');
    this.#time = head?.time;
    this.type = head?.type ?? this.fields.requiredText('Type');
  }

  /** By the clock of the client, nanoseconds since 1970. */
  get timeNs(): bigint {
    return this.#time === undefined ? nanoseconds(this.fields, 'Time') : BigInt(this.#time);
  }

  get fields(): RawObject {
    this.#fields ??= new RawObject(this.#bytes, this.#start);
    return this.#fields;
  }
}

function readHead(
  bytes: Buffer,
  start: number,
  end: number,
): { readonly type: string; readonly time: string } | undefined {
  const typeEnd = end - tail.length;
  if (typeEnd <= start || !standsAt(bytes, typeEnd, tail)) return undefined;
  let typeStart = typeEnd;
  while (typeStart > start && bytes[typeStart - 1] !== 0x22) {
    typeStart -= 1;
    if (bytes[typeStart] === 0x5c || (bytes[typeStart] ?? 0) >= 0x80) return undefined;
  }
  const timeEnd = typeStart - typeMark.length;
  if (timeEnd <= start || typeStart === typeEnd || !standsAt(bytes, timeEnd, typeMark)) return undefined;
  let timeStart = timeEnd;
  while (isDigit(bytes[timeStart - 1])) timeStart -= 1;
  // Longer ones may be no time at all: they are looked at closely.
  const isSound =
    timeEnd > timeStart &&
    timeEnd - timeStart < 20 &&
    bytes[timeStart] !== 0x39 &&
    standsAt(bytes, timeStart - timeMark.length, timeMark);
  return isSound
    ? { type: bytes.toString('latin1', typeStart, typeEnd), time: bytes.toString('latin1', timeStart, timeEnd) }
    : undefined;
}

function isDigit(byte: number | undefined): boolean {
  return byte !== undefined && byte >= 0x30 && byte <= 0x39;
}

function standsAt(bytes: Buffer, at: number, text: string): boolean {
  for (let i = 0; i < text.length; i += 1) if (bytes[at + i] !== text.charCodeAt(i)) return false;
  return true;
}
