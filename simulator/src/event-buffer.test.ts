/**
 * The buffer's size and places, and what its readers see: eviction, slowness, writes. Frames are made by hand.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { systemClock } from '@hydrant/shared/foundation/clock';
import { eventually } from '@hydrant/testing/eventually';
import t, { type Test } from 'tap';
import { EventBuffer, type BufferItem } from './event-buffer.ts';
import { Faults } from './faults.ts';
import { readFrame, type Frame } from './frame.ts';
import { Permissions } from './permissions.ts';
import { openRaw } from './raw-client.ts';
import { StreamEndpoint } from './stream-endpoint.ts';
import type { StreamSettings } from './stream-subscription.ts';

const STREAM = '/v1/event/stream';
const BIG = 'x'.repeat(100_000);

function makeFrame(index: number, { namespace = 'default', text = '' } = {}): Frame {
  const event = {
    Topic: 'Job',
    Type: 'JobRegistered',
    Key: 'web',
    Namespace: namespace,
    FilterKeys: null,
    Index: index,
    Payload: { text },
  };
  const frame = readFrame(Buffer.from(JSON.stringify({ Index: index, Events: [event] })));
  if (frame === undefined) throw new Error('Expected a frame');
  return frame;
}

function makeFrames(first: number, last: number, text = ''): readonly Frame[] {
  return Array.from({ length: last - first + 1 }, (_, position) => makeFrame(first + position, { text }));
}

/** Indexes that a reader at `place` gets; `dropped` where its place has gone. */
function readAll(buffer: EventBuffer, place: BufferItem): readonly (number | 'dropped')[] {
  const indexes: (number | 'dropped')[] = [];
  let next = buffer.after(place);
  while (next !== 'end') {
    if (next === 'dropped') return [...indexes, next];
    if (next.frame !== undefined) indexes.push(next.frame.index);
    next = buffer.after(next);
  }
  return indexes;
}

async function serve(
  t: Test,
  bufferSize: number,
  settings: Partial<StreamSettings> = {},
): Promise<{
  buffer: EventBuffer;
  streams: StreamEndpoint;
  namespaces: string[];
  port: number;
  /** What was written to the sockets, write by write. */
  written: unknown[];
}> {
  const buffer = new EventBuffer(bufferSize);
  const namespaces = ['default'];
  const streams = new StreamEndpoint(
    { buffer, faults: new Faults(), permissions: new Permissions(), clock: systemClock, namespaces: () => namespaces },
    { heartbeatMs: 60_000, writeTimeoutMs: 60_000, writes: 'apart', ...settings },
    undefined,
  );
  const server = createServer((request, response) => {
    streams.handle(request, response);
  });
  const written: unknown[] = [];
  server.on('connection', (socket) => {
    const write: (chunk: Buffer) => boolean = socket.write.bind(socket);
    socket.write = (chunk: unknown) => {
      written.push(chunk);
      return write(chunk as Buffer);
    };
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  t.teardown(() => {
    streams.cutAll('reset');
    server.close();
  });
  return { buffer, streams, namespaces, written, port: (server.address() as AddressInfo).port };
}

t.test('the buffer holds its size and one more', (t) => {
  const cases = [
    { size: 1, oldest: 199 },
    { size: 10, oldest: 190 },
    { size: 0, oldest: 100, why: '0 means 100' },
    { size: 500, oldest: 1 },
  ];

  for (const { size, oldest, why } of cases) {
    const buffer = new EventBuffer(size);
    buffer.append(...makeFrames(1, 200));
    t.equal(buffer.oldestIndex, oldest, why ?? `size ${String(size)}`);
    t.equal(buffer.newestIndex, 200);
  }
  t.end();
});

t.test('eviction drops the frames and the readers that had not read them', (t) => {
  const buffer = new EventBuffer(100);
  buffer.append(...makeFrames(1, 5));
  const atStart = buffer.placeBefore(2);
  const second = buffer.after(atStart) as BufferItem;
  const last = buffer.placeBefore(5);
  const atEnd = buffer.after(last) as BufferItem;

  buffer.evictTo(3);
  t.equal(buffer.oldestIndex, 4);
  t.strictSame(readAll(buffer, buffer.placeBefore(0)), [4, 5]);
  t.strictSame(readAll(buffer, second), ['dropped']);

  buffer.evictTo(9);
  t.equal(buffer.oldestIndex, undefined);
  t.equal(buffer.newestIndex, undefined);
  t.strictSame(readAll(buffer, buffer.placeBefore(4)), [], 'a later reader waits for what comes');

  buffer.append(...makeFrames(10, 11));
  t.strictSame(readAll(buffer, atEnd), [10, 11], 'a reader that had read them all goes on');
  t.strictSame(readAll(buffer, buffer.placeBefore(4)), [10, 11]);
  t.end();
});

t.test('a cleared buffer ends readers that lag and keeps the others', (t) => {
  const buffer = new EventBuffer(100);
  buffer.append(...makeFrames(1, 3));
  const lagging = buffer.after(buffer.placeBefore(1)) as BufferItem;
  const current = buffer.after(buffer.placeBefore(3)) as BufferItem;

  buffer.clear();
  buffer.append(...makeFrames(1, 1));

  t.strictSame(readAll(buffer, lagging), ['dropped']);
  t.strictSame(readAll(buffer, current), [1]);
  t.equal(buffer.newestIndex, 1);
  t.end();
});

t.test('a slow reader loses its stream, a quick one does not', async (t) => {
  const { buffer, streams, port } = await serve(t, 10);
  const slow = openRaw(port, STREAM);
  const quick = openRaw(port, STREAM);
  await Promise.all([slow.lines(1), quick.lines(1)]);
  slow.socket.pause();

  for (let index = 1; index <= 200; index += 1) {
    buffer.append(makeFrame(index, { text: BIG }));
    await quick.frames(index);
  }
  slow.socket.resume();
  await slow.closed;

  const frames = slow.framesSoFar.length;
  t.ok(frames > 0 && frames < 200, `${String(frames)} of 200 frames came`);
  t.equal(slow.partialLine, '', 'it ends after a whole line, and nothing says why');
  t.equal(streams.clients, 1);
});

t.test('a reader that leaves its socket full for too long is disconnected', async (t) => {
  const { buffer, streams, port } = await serve(t, 1000, { writeTimeoutMs: 50 });
  const client = openRaw(port, STREAM);
  await client.lines(1);
  client.socket.pause();

  buffer.append(...makeFrames(1, 200, BIG));

  await eventually(() => streams.clients === 0, { message: 'Expected the reader to be disconnected' });
  client.socket.resume();
  await client.closed;
  t.ok(client.body.length < 200 * BIG.length);
});

t.test('a frame and its newline are two writes', async (t) => {
  const { buffer, port, written } = await serve(t, 10);
  const client = openRaw(port, STREAM);
  await client.lines(1);

  buffer.append(makeFrame(1));
  await client.frames(1);

  t.strictSame(written.slice(1).map(String), ['{}', '\n', makeFrame(1).line.toString(), '\n'], 'after the head');
});

t.test('a stream of all namespaces never sees those made later', async (t) => {
  const { buffer, namespaces, port } = await serve(t, 10);
  const before = openRaw(port, `${STREAM}?namespace=*`);
  await before.lines(1);
  namespaces.push('team-a');
  const after = openRaw(port, `${STREAM}?namespace=*`);
  await after.lines(1);

  buffer.append(makeFrame(1, { namespace: 'team-a' }), makeFrame(2));

  t.match((await before.frames(1))[0], /^{"Index":2,/);
  t.match((await after.frames(2))[0], /^{"Index":1,/);
});
