/**
 * Compares the scanner with JSON.parse, on documents of every shape and on damaged ones. Each lies within other bytes,
 * and what it holds is found without looking at those behind it.
 */
import assert from 'node:assert/strict';
import { fuzz } from '@hydrant/testing/fuzz';
import { damageJson, makeBlank, makeJson } from '@hydrant/testing/random-json';
import t from 'tap';
import { errorCode } from './errors.ts';
import {
  forEachElement,
  forEachMember,
  readString,
  skipSpace,
  skipValue,
  walkArray,
  walkObject,
} from './json-scanner.ts';

const depth = 6;

/** What the scanner finds, built as JSON.parse builds it: of a key that comes twice, the last one counts. */
function rebuild(bytes: Buffer, start: number, end: number): unknown {
  const first = bytes[start];
  if (first === 0x22) return readString(bytes, start, end);
  if (first === 0x5b) {
    const elements: unknown[] = [];
    assert.equal(
      forEachElement(bytes, start, (from, to) => elements.push(rebuild(bytes, from, to))),
      end,
      'the end of an array',
    );
    return elements;
  }
  if (first !== 0x7b) return JSON.parse(bytes.toString('utf8', start, end));
  const members: [string, unknown][] = [];
  assert.equal(
    forEachMember(bytes, start, (key, from, to) => members.push([key, rebuild(bytes, from, to)])),
    end,
    'the end of an object',
  );
  return Object.fromEntries(members);
}

/** Where the value ends, found by the walks alone. */
function walk(bytes: Buffer, start: number): number {
  if (bytes[start] === 0x7b) return walkObject(bytes, start, (_, at) => walk(bytes, at));
  if (bytes[start] === 0x5b) return walkArray(bytes, start, (at) => walk(bytes, at));
  return skipValue(bytes, start);
}

/** Undefined: malformed. */
function scan<T>(find: () => T): T | undefined {
  try {
    return find();
  } catch (thrown) {
    if (errorCode(thrown) !== 'json-malformed') throw thrown;
    return undefined;
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

t.test('a document holds for the scanner what it holds for JSON.parse', async (t) => {
  await fuzz(t, (random) => {
    const text = makeJson(random, depth);
    const before = makeBlank(random);
    const behind = `${makeBlank(random)}${random.pick(['', ',', '}', ']', '{', '"', '\0'])}`;
    const bytes = Buffer.from(`${before}${text}${behind}`);
    const start = before.length;
    const end = start + Buffer.byteLength(text);
    try {
      assert.equal(skipSpace(bytes, 0), start);
      assert.equal(skipValue(bytes, 0), end);
      assert.equal(walk(bytes, start), end);
      assert.deepEqual(rebuild(bytes, start, end), JSON.parse(text));
    } catch (cause) {
      throw new Error(`${JSON.stringify(text)}: ${String(cause)}`, { cause });
    }
  });
});

t.test('a damaged document is one for the scanner exactly when it is one for JSON.parse', async (t) => {
  let accepted = 0;
  let rounds = 0;
  await fuzz(t, (random) => {
    const damaged = damageJson(random, Buffer.from(makeJson(random, random.below(depth))));
    // What lies behind it would make many a cut document whole again.
    const behind = Buffer.from(random.pick(['', '"', '}', ']', '":1}', 'ull', '0', '"]}']));
    const bytes = Buffer.concat([damaged, behind]).subarray(0, damaged.length);
    // n.b. the scanner leaves UTF-8 to others, and each byte is a character in latin1.
    const text = bytes.toString('latin1');
    const expected = parse(text);

    const end = scan(() => skipValue(bytes, 0));

    const isWhole = end !== undefined && skipSpace(bytes, end) === bytes.length;
    rounds += 1;
    if (isWhole) accepted += 1;
    if (isWhole !== (expected !== undefined))
      throw new Error(
        `Expected ${JSON.stringify(text)} to be ${expected === undefined ? 'refused' : 'accepted'}, it ends at ${String(end)} of ${String(bytes.length)}`,
      );
    if (end !== undefined && end > bytes.length)
      throw new Error(`${JSON.stringify(text)} ends at ${String(end)}, behind its ${String(bytes.length)} bytes`);
    const walked = scan(() => walk(bytes, skipSpace(bytes, 0)));
    if (walked !== end)
      throw new Error(
        `Expected the walks through ${JSON.stringify(text)} to end at ${String(end)}, got ${String(walked)}`,
      );
    // Where it is UTF-8, the values are those of JSON.parse, too.
    if (isWhole && bytes.equals(Buffer.from(bytes.toString())))
      assert.deepEqual(rebuild(bytes, skipSpace(bytes, 0), end), JSON.parse(bytes.toString()), text);
  });
  t.ok(
    accepted > rounds / 100 && accepted < rounds,
    `both outcomes occur: ${String(accepted)} of ${String(rounds)} were accepted`,
  );
});
