import { readRecording } from '@hydrant/testing/recordings';
import t from 'tap';
import { parseNomadAddress } from './address.ts';
import { scanFrame } from './scan-frame.ts';
import { createLineSplitter } from './split-lines.ts';
import { describeFilter, streamPath } from './open-stream.ts';

function split(chunks: readonly string[], maxLineBytes = 100): string[] {
  const seen: string[] = [];
  const splitter = createLineSplitter(maxLineBytes, {
    line: (bytes) => {
      seen.push(bytes.toString());
    },
    overlong: () => {
      seen.push('overlong');
    },
    endless: (bytes) => {
      seen.push(`endless ${String(bytes)}`);
    },
  });
  for (const chunk of chunks) splitter.push(Buffer.from(chunk));
  return seen;
}

t.test('lines come whole, however the bytes were cut', (t) => {
  const cases: readonly (readonly [string, readonly string[], readonly string[]])[] = [
    ['one chunk', ['{}\n{"a":1}\n'], ['{}', '{"a":1}']],
    ['newline in the next chunk', ['{}', '\n'], ['{}']],
    ['byte by byte', [...'ab\nc\n'], ['ab', 'c']],
    ['several parts', ['ab', 'cd', 'ef\ngh'], ['abcdef']],
    ['no newline', ['abc'], []],
    ['empty lines', ['\n\na\n'], ['', '', 'a']],
    ['too long', ['a'.repeat(90), 'a'.repeat(90), '\nok\n'], ['overlong', 'ok']],
    ['too long in one chunk', [`${'a'.repeat(101)}\nok\n`], ['overlong', 'ok']],
    [
      'without an end',
      ['a'.repeat(101), 'a'.repeat(299), 'a', 'a'.repeat(500), '\nok\n'],
      ['overlong', 'endless 401', 'ok'],
    ],
    ['just long enough', [`${'a'.repeat(100)}\n`], ['a'.repeat(100)]],
  ];
  for (const [name, chunks, expected] of cases) t.strictSame(split(chunks), expected, name);
  t.end();
});

t.test('every recorded line is a heartbeat or a frame with all its events', async (t) => {
  for (const name of ['crashing-cluster', 'burst'] as const) {
    for (const line of await readRecording(name)) {
      const frame = scanFrame(line);
      const parsed = JSON.parse(line.toString()) as { Index?: number; Events?: unknown[] };
      if (frame === 'heartbeat') {
        t.equal(line.toString(), '{}');
        continue;
      }
      const events = frame.events.map(({ start, end }): unknown => JSON.parse(line.toString('utf8', start, end)));
      if (frame.index !== parsed.Index || JSON.stringify(events) !== JSON.stringify(parsed.Events))
        t.fail(`${name} ${String(parsed.Index)}`);
      if (frame.events.some(({ head }) => head === undefined)) t.fail(`${name} ${String(parsed.Index)} without heads`);
    }
  }
});

t.test('lines of any other shape are refused', (t) => {
  const cases: readonly (readonly [string, string])[] = [
    ['', 'json-malformed'],
    ['<html>', 'json-malformed'],
    ['[]', 'json-malformed'],
    ['{"Index":1,"Events":[{}]', 'json-malformed'],
    ['{"Index":1,"Events":[{}]}{}', 'json-malformed'],
    ['{"Index":1,"Events":[{}]}\u000b', 'json-malformed'],
    ['{"Index":1,"Events":[{}]}\u00a0', 'json-malformed'],
    ['{"Index":1}', 'frame-malformed'],
    ['{"Events":[]}', 'frame-malformed'],
    ['{"Index":1,"Events":null}', 'frame-malformed'],
    ['{"Index":"1","Events":[]}', 'event-malformed'],
  ];
  for (const [line, code] of cases) t.throws(() => scanFrame(Buffer.from(line)), { code }, line);
  t.equal(scanFrame(Buffer.from(' { } ')), 'heartbeat');
  t.match(scanFrame(Buffer.from('{"Events":[{"Topic":"Job"},{}],"Index":3}\r')), {
    index: 3,
    events: [{ head: undefined }, { head: undefined }],
  });
  t.end();
});

t.test('an odd event takes none of its neighbours with it', (t) => {
  const good = '{"Topic":"Job","Type":"JobRegistered","Key":"web","Namespace":"default","Index":7}';
  const deep = (levels: number): string =>
    `{"Topic":"Job","Type":"JobRegistered","Key":"deep","Index":7,"Payload":{"Job":{"Config":${'['.repeat(levels)}${']'.repeat(levels)}}}}`;
  const cases: readonly (readonly [string, unknown])[] = [
    ['null', undefined],
    ['1', undefined],
    ['["Topic"]', undefined],
    ['{}', undefined],
    ['{"Topic":1,"Type":"X","Index":7}', undefined],
    ['{"Topic":"Job","Type":"X","Index":7.5}', undefined],
    [
      '{"Topic":"Job","Type":"X","Key":null,"Namespace":1,"FilterKeys":{"a":[]},"Index":7}',
      { topic: 'Job', key: '', namespace: '', filterKeys: [] },
    ],
    ['{"Topic":"Evaluation","Type":"X","Key":"e","Index":7,"Payload":{"Evaluation":[]}}', { topic: 'Evaluation' }],
    [deep(600), { key: 'deep' }],
    [deep(100_000), { key: 'deep' }],
  ];
  for (const [odd, head] of cases) {
    const line = Buffer.from(`{"Events":[${good},${odd},${good}],"Index":7}`);
    const frame = scanFrame(line);
    if (frame === 'heartbeat') throw new Error('Expected a frame');
    t.strictSame(
      frame.events.map(({ start, end }) => line.toString('utf8', start, end)),
      [good, odd, good],
      odd.slice(0, 100),
    );
    t.match(frame.events[1]?.head, head);
  }
  t.end();
});

t.test('addresses are read as Nomad reads them', (t) => {
  const cases: readonly (readonly [string, ReturnType<typeof parseNomadAddress>])[] = [
    ['http://127.0.0.1:4646', { label: 'http://127.0.0.1:4646', origin: 'http://127.0.0.1:4646' }],
    ['https://nomad.example/prefix/', { label: 'https://nomad.example', origin: 'https://nomad.example' }],
    ['http://user:p%40ss@nomad:4646', { label: 'http://nomad:4646', origin: 'http://nomad:4646', auth: 'user:p@ss' }],
    [
      'unix:///secrets/api.sock',
      { label: 'unix:///secrets/api.sock', origin: 'http://127.0.0.1', socketPath: '/secrets/api.sock' },
    ],
    ['127.0.0.1:4646', undefined],
    ['ftp://nomad', undefined],
    ['unix://relative', undefined],
  ];
  for (const [text, expected] of cases) t.strictSame(parseNomadAddress(text), expected, text);
  t.end();
});

t.test('the request names each topic, the namespace and a region that was set', (t) => {
  const query = { topics: ['Job', 'Allocation'], namespace: '*', region: '' };
  t.equal(streamPath(query, '7'), '/v1/event/stream?index=7&namespace=*&topic=Job&topic=Allocation');
  t.equal(
    streamPath({ ...query, region: 'eu west' }, '0'),
    '/v1/event/stream?index=0&namespace=*&topic=Job&topic=Allocation&region=eu+west',
  );
  t.equal(describeFilter(query), describeFilter({ ...query, topics: ['Allocation', 'Job'] }));
  t.not(describeFilter(query), describeFilter({ ...query, namespace: 'default' }));
  t.end();
});
