/**
 * JSON as a document of MongoDB. Whole numbers that a JavaScript number would round (Nomad's times in nanoseconds)
 * become 64-bit integers. Names are stored as they are, but for U+0000, which no document can hold: U+FFFD stands for
 * it.
 */
import { randomBytes } from 'node:crypto';
import type { Long } from 'mongodb';

export type Document = Record<string, unknown>;

export interface DocumentParser {
  /** Undefined when it is no JSON object. */
  parse(json: Buffer): Document | undefined;
}

const quote = 0x22;
const backslash = 0x5c;
const numberBytes = new Set(Buffer.from('0123456789+-.eE'));
const digitsThatFit = 15;
const [least, most] = [-(2n ** 63n), 2n ** 63n - 1n];

function isLong(token: string): boolean {
  return (
    token.length > digitsThatFit &&
    /^-?\d+$/u.test(token) &&
    !Number.isSafeInteger(Number(token)) &&
    BigInt(token) >= least &&
    BigInt(token) <= most
  );
}

/** n.b. an object with such a name is a type of its own to the client, or none that it takes. A Map never is. */
function isOddName(name: string): boolean {
  return name === '_bsontype' || name.includes('\0');
}

function toMap(object: object): Map<string, unknown> {
  return new Map(Object.entries(object).map(([name, value]) => [name.replaceAll('\0', '\uFFFD'), value as unknown]));
}

/** The client looks for the id in the property, the server in the document. */
export function setId(document: Document, id: string): void {
  if (document instanceof Map) document.set('_id', id);
  document['_id'] = id;
}

/** Behind the quote that ends a text whose first quote stands at `start`. */
function skipText(json: Buffer, start: number): number {
  let at = start + 1;
  while (at < json.length && json[at] !== quote) at += json[at] === backslash ? 2 : 1;
  return at + 1;
}

/** n.b. by hand: a regular expression that knows texts runs out of stack on long ones. */
function replaceNumbers(json: Buffer, replace: (token: string) => string | undefined): string {
  const parts: string[] = [];
  let copied = 0;
  for (let at = 0; at < json.length;) {
    const byte = json[at] ?? 0;
    if (byte === quote) at = skipText(json, at);
    else if (!numberBytes.has(byte)) at += 1;
    else {
      let end = at + 1;
      while (end < json.length && numberBytes.has(json[end] ?? 0)) end += 1;
      const replaced = replace(json.toString('latin1', at, end));
      if (replaced !== undefined) {
        parts.push(json.toString('utf8', copied, at), replaced);
        copied = end;
      }
      at = end;
    }
  }
  parts.push(json.toString('utf8', copied));
  return parts.join('');
}

export function createDocumentParser(toLong: (digits: string) => Long): DocumentParser {
  // Nobody can put it into an event: it differs from process to process.
  const mark = `long:${randomBytes(16).toString('hex')}:`;
  return {
    parse(json) {
      const text = replaceNumbers(json, (token) => (isLong(token) ? `"${mark}${token}"` : undefined));
      const odd = new WeakSet();
      // What an object holds comes before the object itself.
      function revive(this: object, name: string, value: unknown): unknown {
        if (isOddName(name)) odd.add(this);
        if (typeof value === 'string') return value.startsWith(mark) ? toLong(value.slice(mark.length)) : value;
        return typeof value === 'object' && value !== null && odd.has(value) ? toMap(value) : value;
      }
      let parsed: unknown;
      try {
        parsed = JSON.parse(text, revive);
      } catch {
        return undefined;
      }
      return typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed) ? (parsed as Document) : undefined;
    },
  };
}
