/**
 * The types of nomad-firehose's payloads, each as the function that writes it. A writer takes a value as it was parsed
 * and gives what Go's encoding/json wrote of it after reading it into that type: nothing and null become the type's
 * zero value, fields that the type lacks are left out.
 */
import { HydrantError } from '@hydrant/shared/foundation/errors';
import { goZeroTime, writeGoText } from '@hydrant/shared/foundation/go-json';

/** Throws `nomad-firehose-type` when the value is not of the type. */
export type Write = (value: unknown) => string;

export type JsonObject = Readonly<Record<string, unknown>>;

function unexpected(expected: string, value: unknown): HydrantError {
  const got = value === null ? 'null' : Array.isArray(value) ? 'a list' : `a ${typeof value}`;
  return new HydrantError(`Expected ${expected}, got ${got}`, { code: 'nomad-firehose-type', retryable: false });
}

function isNothing(value: unknown): value is null | undefined {
  return value === null || value === undefined;
}

export function asObject(value: unknown): JsonObject {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw unexpected('an object', value);
  return value as JsonObject;
}

export function asText(value: unknown): string {
  if (typeof value !== 'string') throw unexpected('a text', value);
  return value;
}

export function text(value: unknown): string {
  return isNothing(value) ? '""' : writeGoText(asText(value));
}

export function bool(value: unknown): string {
  if (isNothing(value)) return 'false';
  if (typeof value !== 'boolean') throw unexpected('true or false', value);
  return String(value);
}

/** Integers of any size, and durations, which are nanoseconds. */
export function int(value: unknown): string {
  if (isNothing(value)) return '0';
  if (typeof value !== 'bigint' && (typeof value !== 'number' || !Number.isSafeInteger(value)))
    throw unexpected('a whole number', value);
  return String(value);
}

export function float(value: unknown): string {
  if (isNothing(value)) return '0';
  if (typeof value !== 'bigint' && typeof value !== 'number') throw unexpected('a number', value);
  return String(value);
}

const timePattern = /^(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})(?:\.(\d{1,9}))?(Z|[+-]\d{2}:\d{2})$/u;

/** RFC3339Nano: no zeros at the end of the fraction. */
export function time(value: unknown): string {
  if (isNothing(value)) return `"${goZeroTime}"`;
  const [, whole, fraction = '', zone] = typeof value === 'string' ? (timePattern.exec(value) ?? []) : [];
  if (whole === undefined || zone === undefined) throw unexpected('a time', value);
  const digits = fraction.replace(/0+$/u, '');
  return `"${whole}${digits === '' ? '' : `.${digits}`}${zone === '+00:00' ? 'Z' : zone}"`;
}

/** A pointer: null when there is nothing to point to. */
export function optional(write: Write): Write {
  return (value) => (isNothing(value) ? 'null' : write(value));
}

export function list(write: Write): Write {
  return (value) => {
    if (isNothing(value)) return 'null';
    if (!Array.isArray(value)) throw unexpected('a list', value);
    return `[${value.map(write).join(',')}]`;
  };
}

/** Go sorts the keys of maps by their bytes, which is not the order of UTF-16 beyond ASCII. */
function compareBytes([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

export function map(write: Write): Write {
  return (value) => {
    if (isNothing(value)) return 'null';
    const members = Object.entries(asObject(value)).toSorted(compareBytes);
    return `{${members.map(([key, member]) => `${writeGoText(key)}:${write(member)}`).join(',')}}`;
  };
}

/** The fields in Go's order. */
export function struct(fields: Readonly<Record<string, Write>>): Write {
  const writers = Object.entries(fields).map(([name, write]) => ({ name, prefix: `"${name}":`, write }));
  return (value) => {
    const members = isNothing(value) ? {} : asObject(value);
    return `{${writers.map(({ name, prefix, write }) => prefix + write(members[name])).join(',')}}`;
  };
}

/**
 * What Go holds in an `interface{}`. n.b. Go made floats of all numbers and lost digits of large ones; here they are
 * kept.
 */
export function anything(value: unknown): string {
  if (isNothing(value)) return 'null';
  if (typeof value === 'string') return text(value);
  if (typeof value === 'boolean') return bool(value);
  if (typeof value === 'number' || typeof value === 'bigint') return float(value);
  return Array.isArray(value) ? list(anything)(value) : map(anything)(value);
}
