/**
 * Reads the object out of an event's payload without losing a digit: nanosecond times exceed what a number can hold.
 */
import { parse } from 'lossless-json';
import { HydrantError } from '@hydrant/shared/foundation/errors';
import { readString, skipValue, walkObject } from '@hydrant/shared/foundation/json-scanner';
import { asObject, type JsonObject } from './go-types.ts';

/** Where an object stands in the bytes of its event, found but not built. */
export interface FoundObject {
  readonly start: number;
  readonly end: number;
  /** Undefined when it has none that is a whole number. */
  readonly modifyIndex: number | undefined;
  /** The payload says that the object is gone. */
  readonly isDeleted: boolean;
}

const openBrace = 0x7b;
const trueBegins = 0x74;

/** The object that the payload holds under `key`; undefined when there is none. Throws `json-malformed`. */
export function findObject(body: Buffer, key: string): FoundObject | undefined {
  let found: { start: number; end: number } | undefined;
  let modifyIndex: number | undefined;
  let isDeleted = false;
  function walkFound(at: number): number {
    const end = walkObject(body, at, (member, start) => {
      const after = skipValue(body, start);
      if (member === 'ModifyIndex') modifyIndex = readWhole(body, start, after);
      return after;
    });
    found = { start: at, end };
    return end;
  }
  walkObject(body, 0, (member, at) => {
    if (member !== 'Payload' || body[at] !== openBrace) return skipValue(body, at);
    return walkObject(body, at, (name, start) => {
      if (name === key && body[start] === openBrace) return walkFound(start);
      if (name === 'Deleted') isDeleted = body[start] === trueBegins;
      return skipValue(body, start);
    });
  });
  return found === undefined ? undefined : { ...found, modifyIndex, isDeleted };
}

function readWhole(bytes: Buffer, start: number, end: number): number | undefined {
  const value = Number(bytes.toString('latin1', start, end));
  return Number.isSafeInteger(value) ? value : undefined;
}

/**
 * The value of the members that are asked for; those that are absent are undefined. Throws `json-malformed` or
 * `nomad-firehose-type`.
 */
export function readMembers<const Name extends string>(
  bytes: Buffer,
  at: number,
  names: readonly Name[],
): Readonly<Partial<Record<Name, unknown>>> {
  const members: Partial<Record<Name, unknown>> = {};
  walkObject(bytes, at, (key, start) => {
    const end = skipValue(bytes, start);
    const name = names.find((wanted) => wanted === key);
    if (name !== undefined)
      members[name] = bytes[start] === 0x22 ? readString(bytes, start, end) : parseJson(bytes, start, end);
    return end;
  });
  return members;
}

/** Throws `nomad-firehose-type` when it is no object. */
export function readObject(bytes: Buffer, start: number, end: number): JsonObject {
  return asObject(parseJson(bytes, start, end));
}

/** Integers beyond 2^53 as bigint. */
export function parseJson(bytes: Buffer, start: number, end: number): unknown {
  try {
    return parse(bytes.toString('utf8', start, end), undefined, parseNumber);
  } catch (thrown) {
    throw new HydrantError('Expected JSON without two values for one key', {
      code: 'nomad-firehose-type',
      retryable: false,
      cause: thrown,
    });
  }
}

function parseNumber(digits: string): number | bigint {
  const value = Number(digits);
  return Number.isSafeInteger(value) || !/^-?\d+$/u.test(digits) ? value : BigInt(digits);
}
