/**
 * A JSON object as it lies in a buffer: where its members begin and end is found in one pass, a value is read when it
 * is asked for. So no digit is lost (nanoseconds exceed what a number can hold), and what nobody asks for costs no more
 * than being passed over.
 */
import { HydrantError } from '@hydrant/shared/foundation/errors';
import { readString, skipValue } from '@hydrant/shared/foundation/json-scanner';

/** Reads the value that begins at `start` and returns the index after it. */
export type InnerReader = (start: number) => number;

export class RawObject {
  /** Index after the object. */
  readonly end: number;
  readonly #bytes: Buffer;
  /** Of each member: begin and end of its key with the quotes, begin and end of its value. */
  readonly #places: number[] = [];

  /**
   * Throws `json-malformed` unless an object begins at `at`. Members that `inner` names are read by it instead of being
   * passed over.
   */
  constructor(bytes: Buffer, at: number, inner: Readonly<Record<string, InnerReader>> = {}) {
    this.#bytes = bytes;
    let i = skipSpace(bytes, at);
    if (bytes[i] !== 0x7b) throw malformed(bytes, i, 'an object');
    i = skipSpace(bytes, i + 1);
    while (bytes[i] !== 0x7d) {
      if (bytes[i] !== 0x22) throw malformed(bytes, i, 'a key in quotes');
      const keyEnd = skipValue(bytes, i);
      const colon = skipSpace(bytes, keyEnd);
      if (bytes[colon] !== 0x3a) throw malformed(bytes, colon, 'a colon');
      const start = skipSpace(bytes, colon + 1);
      const end = this.#findReader(inner, i, keyEnd, start)?.(start) ?? skipValue(bytes, start);
      this.#places.push(i, keyEnd, start, end);
      i = skipSpace(bytes, end);
      if (bytes[i] === 0x7d) break;
      if (bytes[i] !== 0x2c) throw malformed(bytes, i, 'a comma or }');
      i = skipSpace(bytes, i + 1);
      if (bytes[i] === 0x7d) throw malformed(bytes, i, 'a key in quotes');
    }
    this.end = i + 1;
  }

  /**
   * The text of a value as it stands there; undefined when there is no such member. Of a repeated key the last counts.
   */
  raw(key: string): string | undefined {
    const at = this.#find(key);
    return at === -1 ? undefined : this.#bytes.toString('utf8', this.#places[at + 2], this.#places[at + 3]);
  }

  /** A text, or null when it is absent, null or empty. Throws `event-invalid` when it is something else. */
  text(key: string): string | null {
    const value = this.textOr(key, undefined);
    if (value !== undefined) return value === '' ? null : value;
    const raw = this.raw(key);
    if (raw === undefined || raw === 'null') return null;
    throw invalid(`\`${key}\` to be a text`, raw);
  }

  /** A text, or `otherwise` when it is absent or something else. */
  textOr<T>(key: string, otherwise: T): string | T {
    const at = this.#find(key);
    if (at === -1) return otherwise;
    const [start, end] = [this.#places[at + 2] as number, this.#places[at + 3] as number];
    return this.#bytes[start] === 0x22 ? readString(this.#bytes, start, end) : otherwise;
  }

  requiredText(key: string): string {
    const value = this.text(key);
    if (value === null) throw invalid(`\`${key}\` to be a text`, this.raw(key));
    return value;
  }

  isTrue(key: string): boolean {
    return this.raw(key) === 'true';
  }

  /** A whole number of any size, or undefined when it is absent or something else. */
  integer(key: string): bigint | undefined {
    const raw = this.raw(key);
    return raw !== undefined && /^-?\d+$/u.test(raw) ? BigInt(raw) : undefined;
  }

  /** Where the value of `key` begins; undefined when it is absent or null. */
  startOf(key: string): number | undefined {
    const at = this.#find(key);
    if (at === -1) return undefined;
    const start = this.#places[at + 2] as number;
    return this.#bytes[start] === 0x6e ? undefined : start;
  }

  /** The object under `key`, or undefined when it is absent or something else. */
  objectOr(key: string): RawObject | undefined {
    const start = this.startOf(key);
    return start === undefined || this.#bytes[start] !== 0x7b ? undefined : new RawObject(this.#bytes, start);
  }

  #find(key: string): number {
    for (let at = this.#places.length - 4; at >= 0; at -= 4) {
      if (isKey(this.#bytes, this.#places[at] as number, this.#places[at + 1] as number, key)) return at;
    }
    return -1;
  }

  #findReader(
    inner: Readonly<Record<string, InnerReader>>,
    from: number,
    to: number,
    start: number,
  ): InnerReader | undefined {
    // What is null is passed over.
    if (this.#bytes[start] === 0x6e) return undefined;
    for (const key in inner) if (isKey(this.#bytes, from, to, key)) return inner[key];
    return undefined;
  }
}

/** Keys are compared as they stand: Nomad escapes none. */
function isKey(bytes: Buffer, from: number, to: number, key: string): boolean {
  if (to - from - 2 !== key.length) return false;
  for (let i = 0; i < key.length; i += 1) if (bytes[from + 1 + i] !== key.charCodeAt(i)) return false;
  return true;
}

function skipSpace(bytes: Buffer, at: number): number {
  let i = at;
  for (let byte = bytes[i]; byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09; byte = bytes[i]) i += 1;
  return i;
}

function malformed(bytes: Buffer, at: number, expected: string): HydrantError {
  return new HydrantError(`Expected ${expected} at offset ${at} of ${bytes.length} bytes of JSON`, {
    code: 'json-malformed',
    retryable: false,
  });
}

/** What was expected of an Allocation event; the value itself is not shown. */
export function invalid(expected: string, raw: string | undefined): HydrantError {
  return new HydrantError(`Expected ${expected} in an Allocation event, got ${nameOf(raw)}`, {
    code: 'event-invalid',
    retryable: false,
  });
}

function nameOf(raw: string | undefined): string {
  if (raw === undefined) return 'nothing';
  if (raw === 'null') return 'null';
  const kinds: Readonly<Record<string, string>> = {
    '"': 'a string',
    '[': 'a list',
    '{': 'an object',
    t: 'a boolean',
    f: 'a boolean',
  };
  return kinds[raw.charAt(0)] ?? 'a number';
}
