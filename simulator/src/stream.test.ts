/**
 * Holds the event stream to what Nomad does on the wire, with clients on bare sockets.
 */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { gunzipSync } from 'node:zlib';
import t, { type Test } from 'tap';
import { readFrame } from './frame.ts';
import type { SimulatorOptions } from './options.ts';
import { openRaw } from './raw-client.ts';
import { startSimulator, type Simulator } from './simulator.ts';

const STREAM = '/v1/event/stream';
const DEFAULT_TOPICS = ['Deployment', 'Allocation', 'Evaluation', 'Job', 'Node'];
const FRAMES = 363;

async function start(t: Test, options: SimulatorOptions = {}): Promise<Simulator> {
  const simulator = await startSimulator(options);
  t.teardown(() => simulator.close());
  return simulator;
}

async function readFixture(name: string): Promise<string> {
  return gunzipSync(await readFile(new URL(`../../fixtures/crashing-cluster/${name}`, import.meta.url))).toString(
    'latin1',
  );
}

async function recordedLines(): Promise<readonly string[]> {
  return (await readFixture('stream.ndjson.gz')).split('\n').filter((line) => line !== '' && line !== '{}');
}

function indexOf(line: string | undefined): number | undefined {
  return (JSON.parse(line ?? '{}') as { Index?: number }).Index;
}

t.test('the head is Nomad’s, to the byte, and a heartbeat follows at once', async (t) => {
  const simulator = await start(t, { paused: true });

  const client = openRaw(simulator.port, STREAM, { headers: { 'Accept-Encoding': 'gzip' } });

  t.strictSame(await client.lines(1), ['{}']);
  t.equal(
    await client.head(),
    'HTTP/1.1 200 OK\r\nConnection: close\r\nCache-Control: no-cache\r\nContent-Type: application/json\r\nVary: Accept-Encoding',
  );
  t.equal(client.body, '{}\n');
});

t.test('heartbeats come on a ticker, whatever else is sent', async (t) => {
  const simulator = await start(t, { heartbeatMs: 15, bufferSize: 2 });

  const lines = await openRaw(simulator.port, `${STREAM}?namespace=*`).lines(7);

  t.equal(lines.filter((line) => line === '{}').length, 4);
  t.equal(lines[0], '{}');
});

t.test('without filters every line is the recording’s own', async (t) => {
  const simulator = await start(t);

  const lines = await openRaw(simulator.port, `${STREAM}?namespace=*`).frames(FRAMES);

  t.strictSame(lines, await recordedLines());
});

t.test('filtered events keep their bytes, as something else than this scanner hashed them', async (t) => {
  const simulator = await start(t);
  const topics = DEFAULT_TOPICS.map((topic) => `topic=${topic}`).join('&');
  const expected = (await readFixture('event-hashes.ndjson.gz'))
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { sha256: string; index: number });
  const frames = (await recordedLines()).filter((line) =>
    DEFAULT_TOPICS.some((topic) => line.includes(`"Topic":"${topic}"`)),
  );

  const lines = await openRaw(simulator.port, `${STREAM}?namespace=*&${topics}`).frames(frames.length);

  const received = lines.map((line) => readFrame(Buffer.from(line, 'latin1')));
  const hashes = received.flatMap((frame) =>
    (frame?.events ?? []).map((event) =>
      createHash('sha256')
        .update(frame?.line.subarray(event.start, event.end) ?? '')
        .digest('hex'),
    ),
  );
  t.equal(hashes.length, 879);
  t.strictSame(
    hashes,
    expected.map((event) => event.sha256),
  );
  t.ok(lines.every((line) => line.startsWith('{"Events":[') && indexOf(line) !== undefined));
});

t.test('an index is inclusive, or the closest there is', async (t) => {
  const simulator = await start(t, { bufferSize: 100 });
  const newest = 355;
  const oldest = indexOf((await recordedLines()).at(-101)) ?? 0;
  const cases = [
    { index: '', first: oldest, why: 'the oldest without an index' },
    { index: '0', first: oldest, why: 'the oldest for 0' },
    { index: '1', first: oldest, why: 'the oldest for what was evicted' },
    { index: '300', first: 300, why: 'that very frame' },
    { index: '355', first: newest, why: 'the newest, inclusive' },
    { index: '356', first: newest, why: 'the newest for a future index' },
    { index: '9223372036854775807', first: newest, why: 'the newest for the largest index' },
  ];

  for (const { index, first, why } of cases) {
    const [line] = await openRaw(simulator.port, `${STREAM}?namespace=*&index=${index}`).frames(1);
    t.equal(indexOf(line), first, why);
  }
  t.equal(simulator.state.oldestIndex, oldest);
});

t.test('an index between two begins with the next, and one of several frames with the first', async (t) => {
  const simulator = await start(t);
  const indexes = (await recordedLines()).map(indexOf);
  const gap = indexes.find((index, position) => (indexes[position + 1] ?? 0) > (index ?? 0) + 1) ?? 0;
  const twice = indexes.find((index, position) => indexes[position + 1] === index) ?? 0;

  const [afterGap] = await openRaw(simulator.port, `${STREAM}?namespace=*&index=${String(gap + 1)}`).frames(1);
  const both = await openRaw(simulator.port, `${STREAM}?namespace=*&index=${String(twice)}`).frames(2);

  t.equal(indexOf(afterGap), indexes[indexes.indexOf(gap) + 1]);
  t.strictSame(both.map(indexOf), [twice, twice]);
});

t.test('an empty buffer says nothing but heartbeats until there is something', async (t) => {
  const simulator = await start(t, { paused: true });
  const client = openRaw(simulator.port, `${STREAM}?namespace=*&index=400`);
  await client.lines(1);

  simulator.control.resume();

  t.equal(indexOf((await client.frames(1))[0]), 8);
});

t.test('wrong requests are refused before the stream begins', async (t) => {
  const simulator = await start(t);
  const cases = [
    { path: `${STREAM}?index=abc`, method: 'GET', status: '400', text: 'Unable to parse index: ' },
    { path: `${STREAM}?index=9223372036854775808`, method: 'GET', status: '400', text: 'Unable to parse index: ' },
    {
      path: `${STREAM}?topic=Job:a:b`,
      method: 'GET',
      status: '400',
      text: 'Invalid key value pair for topic, topic: Job:a:b',
    },
    { path: STREAM, method: 'POST', status: '405', text: 'Invalid method' },
    { path: '/v1/unknown', method: 'GET', status: '404', text: 'Not found' },
  ];

  for (const { path, method, status, text } of cases) {
    const client = openRaw(simulator.port, path, { method, headers: { Connection: 'close' } });
    await client.closed;
    t.match(client.bytes.toString(), new RegExp(`^HTTP/1.1 ${status} `), `${method} ${path}`);
    t.ok(client.body.includes(text), text);
  }
});

t.test('a wrong token gets a 200, zero bytes and the end', async (t) => {
  const simulator = await start(t, { token: 'right' });
  const wrong: Record<string, string>[] = [
    {},
    { 'X-Nomad-Token': 'wrong' },
    { 'X-Nomad-Token': 'wrong', Authorization: 'Bearer right' },
  ];
  const right: Record<string, string>[] = [{ 'X-Nomad-Token': 'right' }, { Authorization: 'Bearer right' }];

  for (const headers of wrong) {
    const client = openRaw(simulator.port, STREAM, { headers });
    await client.closed;
    t.match(await client.head(), /^HTTP\/1.1 200 OK/);
    t.equal(client.body, '', JSON.stringify(headers));
  }
  for (const headers of right) t.strictSame(await openRaw(simulator.port, STREAM, { headers }).lines(1), ['{}']);
});

t.test('events of a namespace come to its subscribers, those without one to all', async (t) => {
  const simulator = await start(t);

  const lines = await openRaw(simulator.port, `${STREAM}?namespace=unknown&topic=*`).frames(20);
  const events = lines.flatMap((line) => readFrame(Buffer.from(line))?.events ?? []);

  t.ok(events.length > 0);
  t.ok(events.every((event) => event.namespace === ''));
});

t.test('every namespace means those there are when the stream opens', async (t) => {
  const simulator = await start(t, { paused: true, recording: 'burst' });
  const lines = `${STREAM}?namespace=*&topic=Allocation`;
  t.strictSame(await listNamespaces(simulator), ['default']);
  await openRaw(simulator.port, lines).lines(1);

  simulator.control.addNamespace('team-a');

  t.strictSame(await listNamespaces(simulator), ['default', 'team-a']);
});

async function listNamespaces(simulator: Simulator): Promise<readonly string[]> {
  const response = await fetch(`${simulator.url}/v1/namespaces`);
  return ((await response.json()) as { Name: string }[]).map((namespace) => namespace.Name);
}
