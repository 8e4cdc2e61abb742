import { readRecording } from '@hydrant/testing/recordings';
import t from 'tap';
import { errorCode } from './errors.ts';
import { forEachElement, forEachMember, readString, skipValue, walkArray, walkObject } from './json-scanner.ts';

/** A small generator of its own, so that a failure can be repeated from its seed. */
function createRandom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

const scalars = [
  null,
  true,
  false,
  0,
  -0.5,
  12,
  1.5e300,
  -2e-7,
  1755765238123456789,
  '',
  'plain',
  'quo"te',
  'back\\slash',
  'line\nfeed',
  'ünïcödé 🚀',
  '\u0000',
  '{"a":[}',
];

function makeDocument(random: (below: number) => number, depth: number): unknown {
  const kind = random(depth > 4 ? 1 : 3);
  if (kind === 0) return scalars[random(scalars.length)];
  const size = random(5);
  if (kind === 1) return Array.from({ length: size }, () => makeDocument(random, depth + 1));
  return Object.fromEntries(
    Array.from({ length: size }, (_, i) => [
      `${String(scalars[random(scalars.length)])}${String(i)}`,
      makeDocument(random, depth + 1),
    ]),
  );
}

/** What the scanner finds, built as JSON.parse builds it. */
function rebuild(bytes: Buffer, start: number, end: number): unknown {
  if (bytes[start] === 0x7b) {
    const members: [string, unknown][] = [];
    forEachMember(bytes, start, (key, from, to) => members.push([key, rebuild(bytes, from, to)]));
    return Object.fromEntries(members);
  }
  if (bytes[start] === 0x5b) {
    const elements: unknown[] = [];
    forEachElement(bytes, start, (from, to) => elements.push(rebuild(bytes, from, to)));
    return elements;
  }
  return bytes[start] === 0x22 ? readString(bytes, start, end) : JSON.parse(bytes.toString('utf8', start, end));
}

function scannerAccepts(bytes: Buffer): boolean {
  try {
    return bytes.toString('latin1', skipValue(bytes, 0)).trim() === '';
  } catch (thrown) {
    if (errorCode(thrown) !== 'json-malformed') throw thrown;
    return false;
  }
}

function parserAccepts(bytes: Buffer): boolean {
  try {
    JSON.parse(bytes.toString('latin1'));
    return true;
  } catch {
    return false;
  }
}

t.test('values begin and end where JSON.parse says', (t) => {
  for (let seed = 0; seed < 400; seed += 1) {
    const document = makeDocument(createRandom(seed), 0);
    const bytes = Buffer.from(` ${JSON.stringify(document, null, seed % 3)} ,`);

    const end = skipValue(bytes, 0);

    const found = rebuild(bytes, 1, end);
    if (end !== bytes.length - 2 || JSON.stringify(found) !== JSON.stringify(document))
      t.fail(`seed ${String(seed)}`, { document, found });
  }
  t.end();
});

t.test('a document is accepted exactly when JSON.parse accepts it', (t) => {
  const bytesToPlant = Buffer.from('{}[]",:0-.eEtfn\\u \n\u0001a');
  let accepted = 0;
  for (let seed = 0; seed < 3000; seed += 1) {
    const random = createRandom(seed);
    const bytes = Buffer.from(JSON.stringify(makeDocument(random, 0)), 'latin1');
    for (let planted = random(3); planted >= 0 && bytes.length > 0; planted -= 1)
      bytes[random(bytes.length)] = bytesToPlant[random(bytesToPlant.length)] ?? 0;

    const isAccepted = scannerAccepts(bytes);

    if (isAccepted) accepted += 1;
    if (isAccepted !== parserAccepts(bytes)) t.fail(`seed ${String(seed)}: ${bytes.toString('latin1')}`);
  }
  t.ok(accepted > 100 && accepted < 2900, 'both outcomes occur');
  t.end();
});

t.test('a frame cut at any byte is refused', async (t) => {
  const frames = (await readRecording('crashing-cluster'))
    .filter((line) => line.length > 2)
    .toSorted((a, b) => a.length - b.length);
  for (const frame of [frames[0], frames[150]]) {
    if (frame === undefined) throw new Error('Expected the recording to have frames');
    t.ok(scannerAccepts(frame));
    let accepted = 0;
    for (let length = 0; length < frame.length; length += 1)
      if (scannerAccepts(frame.subarray(0, length))) accepted += 1;
    t.equal(accepted, 0);
  }
});

t.test('every frame of the recordings is one value', async (t) => {
  for (const name of ['crashing-cluster', 'burst', 'nomad-firehose-parity'] as const) {
    for (const line of await readRecording(name)) if (skipValue(line, 0) !== line.length) t.fail(name);
  }
});

t.test('malformed values are refused with the offset', (t) => {
  const cases: readonly (readonly [string, RegExp])[] = [
    ['', /a value at offset 0 of 0 bytes of JSON, got the end/u],
    ['{"a":1]', /a comma or \} at offset 6/u],
    ['[1}', /a comma or \] at offset 2/u],
    ['[1,]', /a value at offset 3/u],
    ['{"a":1,}', /a key in quotes at offset 7/u],
    ['{"a" 1}', /a colon at offset 5/u],
    ['{a:1}', /a key in quotes at offset 1/u],
    ['"abc', /the end of a string at offset 4/u],
    ['"a\nb"', /the end of a string at offset 2/u],
    [String.raw`"\x"`, /an escape character at offset 2/u],
    [String.raw`"\u12g4"`, /hexadecimal digits at offset 5/u],
    ['tru', /a value at offset 0/u],
    ['-', /a digit at offset 1/u],
    ['1.', /a digit at offset 2/u],
    ['1e+', /a digit at offset 3/u],
  ];
  for (const [text, message] of cases)
    t.throws(() => skipValue(Buffer.from(text), 0), { code: 'json-malformed', message }, text.slice(0, 20));
  t.end();
});

t.test('values may be nested as deep as they like', (t) => {
  for (const depth of [512, 600, 1_024, 1_025, 1_000_000]) {
    const bytes = Buffer.from(`${'[{"a":'.repeat(depth / 2)}1${'}]'.repeat(depth / 2)}`);
    t.equal(skipValue(bytes, 0), bytes.length, String(depth));
    t.throws(() => skipValue(bytes.subarray(0, -1), 0), { code: 'json-malformed' }, `${String(depth)}, cut`);
    t.throws(
      () => skipValue(Buffer.concat([bytes.subarray(0, -1), Buffer.from('}')]), 0),
      { message: /a comma or \]/u },
      `${String(depth)}, closed by another bracket`,
    );
  }
  t.end();
});

t.test('walks hand each value over once and refuse other kinds', (t) => {
  const bytes = Buffer.from('{"a":[1,{"b":2}],"\\u0063":"d"}');
  const seen: string[] = [];

  const end = walkObject(bytes, 0, (key, start) => {
    seen.push(key);
    if (key !== 'a') return skipValue(bytes, start);
    return walkArray(bytes, start, (at) => {
      seen.push(bytes.toString('utf8', at, skipValue(bytes, at)));
      return skipValue(bytes, at);
    });
  });

  t.equal(end, bytes.length);
  t.strictSame(seen, ['a', '1', '{"b":2}', 'c']);
  t.throws(() => walkObject(Buffer.from('[]'), 0, () => 0), { code: 'json-malformed' });
  t.throws(() => walkArray(Buffer.from('{}'), 0, () => 0), { code: 'json-malformed' });
  t.throws(() => readString(Buffer.from('12'), 0, 2), { code: 'json-malformed' });
  t.end();
});
