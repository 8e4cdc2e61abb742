/**
 * Finds where JSON values begin and end in a buffer without building them, so that bytes can be forwarded as they came.
 * It checks the grammar of all it passes (a cut or garbled document never counts as complete) and does not recurse.
 * It does not check that strings are valid UTF-8.
 */
import { HydrantError } from './errors.ts';

const quote = 0x22;
const backslash = 0x5c;
const comma = 0x2c;
const colon = 0x3a;
const openBrace = 0x7b;
const closeBrace = 0x7d;
const openBracket = 0x5b;
const closeBracket = 0x5d;
const minus = 0x2d;
const plus = 0x2b;
const dot = 0x2e;
const zero = 0x30;
const nine = 0x39;

/**
 * 1 for bytes that stand for themselves inside a string: everything but the quote, the backslash and control
 * characters.
 */
const plainInString = Uint8Array.from({ length: 256 }, (_, byte) =>
  byte >= 0x20 && byte !== quote && byte !== backslash ? 1 : 0,
);
const simpleEscapes = Uint8Array.from({ length: 256 }, (_, byte) =>
  '"\\/bfnrt'.includes(String.fromCharCode(byte)) ? 1 : 0,
);
const hexDigits = Uint8Array.from({ length: 256 }, (_, byte) =>
  /[0-9a-fA-F]/.test(String.fromCharCode(byte)) ? 1 : 0,
);
const nullWord = Buffer.from('null');
const falseWord = Buffer.from('false');
const trueWord = Buffer.from('true');

/** Levels for which there is room without asking. */
const usualDepth = 1_024;
/** The closing bracket of each open one. Shared by all calls: `skipValue` calls nothing that could call it. */
let closers = new Uint8Array(usualDepth);

/**
 * n.b. whoever can write a job's driver config decides how deep it is nested. The room is bounded by the document, as
 * each level is a byte of it.
 */
function makeRoom(): void {
  const wider = new Uint8Array(closers.length * 2);
  wider.set(closers);
  closers = wider;
}

function malformed(bytes: Buffer, at: number, expected: string): HydrantError {
  const found = at >= bytes.length ? 'the end' : `byte 0x${(bytes[at] ?? 0).toString(16).padStart(2, '0')}`;
  return new HydrantError(
    `Expected ${expected} at offset ${String(at)} of ${String(bytes.length)} bytes of JSON, got ${found}`,
    {
      code: 'json-malformed',
      retryable: false,
    },
  );
}

/** The index of the first byte from `at` on that is no white space. */
export function skipSpace(bytes: Buffer, at: number): number {
  let i = at;
  let byte = bytes[i] as number;
  if (byte > 0x20) return i;
  while (byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09) {
    i += 1;
    byte = bytes[i] as number;
  }
  return i;
}

/**
 * The index of the first byte that does not stand for itself. Past the end `bytes[i]` is undefined, which no table
 * holds: the loop ends.
 */
function skipPlain(bytes: Buffer, at: number): number {
  let i = at;
  while (plainInString[bytes[i] as number] === 1) i += 1;
  return i;
}

function skipEscape(bytes: Buffer, at: number): number {
  const kind = bytes[at + 1];
  if (kind === 0x75) {
    for (let i = at + 2; i < at + 6; i += 1) {
      if (hexDigits[bytes[i] ?? 0] !== 1) throw malformed(bytes, i, 'four hexadecimal digits');
    }
    return at + 6;
  }
  if (kind === undefined || simpleEscapes[kind] !== 1) throw malformed(bytes, at + 1, 'an escape character');
  return at + 2;
}

function skipString(bytes: Buffer, at: number): number {
  let i = skipPlain(bytes, at + 1);
  while (bytes[i] === backslash) i = skipPlain(bytes, skipEscape(bytes, i));
  if (bytes[i] !== quote) throw malformed(bytes, i, 'the end of a string');
  return i + 1;
}

function skipDigits(bytes: Buffer, at: number): number {
  let i = at;
  for (let byte = bytes[i]; byte !== undefined && byte >= zero && byte <= nine; byte = bytes[i]) i += 1;
  if (i === at) throw malformed(bytes, at, 'a digit');
  return i;
}

function skipNumber(bytes: Buffer, at: number): number {
  const first = bytes[at];
  if (first !== minus && !(first !== undefined && first >= zero && first <= nine))
    throw malformed(bytes, at, 'a value');
  let i = first === minus ? at + 1 : at;
  i = bytes[i] === zero ? i + 1 : skipDigits(bytes, i);
  if (bytes[i] === dot) i = skipDigits(bytes, i + 1);
  const byte = bytes[i];
  if (byte === 0x65 || byte === 0x45) {
    const sign = bytes[i + 1];
    i = skipDigits(bytes, sign === plus || sign === minus ? i + 2 : i + 1);
  }
  return i;
}

function skipLiteral(bytes: Buffer, at: number, word: Uint8Array): number {
  for (let i = 0; i < word.length; i += 1) {
    if (bytes[at + i] !== word[i]) throw malformed(bytes, at, 'a value');
  }
  return at + word.length;
}

function skipScalar(bytes: Buffer, at: number): number {
  const byte = bytes[at];
  if (byte === quote) return skipString(bytes, at);
  if (byte === 0x6e) return skipLiteral(bytes, at, nullWord);
  if (byte === 0x66) return skipLiteral(bytes, at, falseWord);
  if (byte === 0x74) return skipLiteral(bytes, at, trueWord);
  return skipNumber(bytes, at);
}

/** From the opening quote of a member's key to the first byte of its value. */
function skipKey(bytes: Buffer, at: number): number {
  if (bytes[at] !== quote) throw malformed(bytes, at, 'a key in quotes');
  const end = skipSpace(bytes, skipString(bytes, at));
  if (bytes[end] !== colon) throw malformed(bytes, end, 'a colon');
  return skipSpace(bytes, end + 1);
}

/** The index after the value that begins at `at` (white space before it is skipped). Throws `json-malformed`. */
export function skipValue(bytes: Buffer, at: number): number {
  let i = skipSpace(bytes, at);
  let depth = 0;
  if (closers.length > usualDepth) closers = new Uint8Array(usualDepth);
  for (;;) {
    const byte = bytes[i];
    if (byte === openBrace || byte === openBracket) {
      if (depth === closers.length) makeRoom();
      const closer = byte === openBrace ? closeBrace : closeBracket;
      closers[depth] = closer;
      depth += 1;
      i = skipSpace(bytes, i + 1);
      if (bytes[i] !== closer) {
        if (closer === closeBrace) i = skipKey(bytes, i);
        continue;
      }
    } else {
      i = skipScalar(bytes, i);
    }
    // A value ends here, or an empty container is about to be closed.
    for (;;) {
      if (depth === 0) return i;
      i = skipSpace(bytes, i);
      const closer = closers[depth - 1];
      if (bytes[i] === closer) {
        depth -= 1;
        i += 1;
        continue;
      }
      if (bytes[i] !== comma) throw malformed(bytes, i, closer === closeBrace ? 'a comma or }' : 'a comma or ]');
      i = skipSpace(bytes, i + 1);
      if (closer === closeBrace) i = skipKey(bytes, i);
      break;
    }
  }
}

/**
 * Walks the members of the object at `at`. For each, `walk` gets the key and the start of the value and returns the
 * index after the value (from `skipValue` or from a walk of its own), so that nothing is scanned twice. Returns the
 * index after the object.
 */
export function walkObject(bytes: Buffer, at: number, walk: (key: string, start: number) => number): number {
  let i = skipSpace(bytes, at);
  if (bytes[i] !== openBrace) throw malformed(bytes, i, 'an object');
  i = skipSpace(bytes, i + 1);
  if (bytes[i] === closeBrace) return i + 1;
  for (;;) {
    const start = skipKey(bytes, i);
    i = skipSpace(bytes, walk(readString(bytes, i, start), start));
    if (bytes[i] === closeBrace) return i + 1;
    if (bytes[i] !== comma) throw malformed(bytes, i, 'a comma or }');
    i = skipSpace(bytes, i + 1);
  }
}

/** As `walkObject`, for the elements of an array. */
export function walkArray(bytes: Buffer, at: number, walk: (start: number) => number): number {
  let i = skipSpace(bytes, at);
  if (bytes[i] !== openBracket) throw malformed(bytes, i, 'an array');
  i = skipSpace(bytes, i + 1);
  if (bytes[i] === closeBracket) return i + 1;
  for (;;) {
    i = skipSpace(bytes, walk(i));
    if (bytes[i] === closeBracket) return i + 1;
    if (bytes[i] !== comma) throw malformed(bytes, i, 'a comma or ]');
    i = skipSpace(bytes, i + 1);
  }
}

/**
 * Calls `visit` with each member of the object at `at` and where its value begins and ends. Returns the index after the
 * object.
 */
export function forEachMember(
  bytes: Buffer,
  at: number,
  visit: (key: string, start: number, end: number) => void,
): number {
  return walkObject(bytes, at, (key, start) => {
    const end = skipValue(bytes, start);
    visit(key, start, end);
    return end;
  });
}

/** Calls `visit` with where each element of the array at `at` begins and ends. Returns the index after the array. */
export function forEachElement(bytes: Buffer, at: number, visit: (start: number, end: number) => void): number {
  return walkArray(bytes, at, (start) => {
    const end = skipValue(bytes, start);
    visit(start, end);
    return end;
  });
}

/**
 * The text of the string that begins at `start`, white space and anything after its closing quote left out up to `end`.
 */
export function readString(bytes: Buffer, start: number, end: number): string {
  if (bytes[start] !== quote) throw malformed(bytes, start, 'a string');
  let i = start + 1;
  let isAscii = true;
  for (let byte = bytes[i]; byte !== quote; byte = bytes[i]) {
    if (byte === undefined || i >= end) throw malformed(bytes, i, 'the end of a string');
    if (byte === backslash) return JSON.parse(bytes.toString('utf8', start, skipString(bytes, start))) as string;
    if (byte >= 0x80) isAscii = false;
    i += 1;
  }
  return bytes.toString(isAscii ? 'latin1' : 'utf8', start + 1, i);
}
