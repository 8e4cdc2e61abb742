/**
 * The faults, by the control object and over HTTP.
 */
import { connect } from 'node:net';
import { systemClock, type Clock } from '@hydrant/shared/foundation/clock';
import t, { type Test } from 'tap';
import type { SimulatorState } from './control.ts';
import type { SimulatorOptions } from './options.ts';
import { openRaw } from './raw-client.ts';
import { startSimulator, type Simulator } from './simulator.ts';

const STREAM = '/v1/event/stream?namespace=*';
const FRAMES = 363;

async function start(t: Test, options: SimulatorOptions = {}): Promise<Simulator> {
  const simulator = await startSimulator(options);
  t.teardown(() => simulator.close());
  return simulator;
}

function isRefused(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.on('connect', () => {
      socket.destroy();
      resolve(false);
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      resolve(error.code === 'ECONNREFUSED');
    });
  });
}

t.test('a cut ends every stream, cleanly or with a reset, and new ones open', async (t) => {
  const simulator = await start(t);
  for (const how of ['end', 'reset'] as const) {
    const streams = [openRaw(simulator.port, STREAM), openRaw(simulator.port, STREAM)];
    await Promise.all(streams.map((stream) => stream.frames(FRAMES)));
    const resets: unknown[] = [];
    for (const { socket } of streams) socket.on('error', (error) => resets.push(error));

    simulator.control.cut(how);
    await Promise.all(streams.map((stream) => stream.closed));

    t.equal(simulator.state.clients, 0);
    t.equal(resets.length, how === 'end' ? 0 : 2);
    t.ok(streams.every((stream) => stream.partialLine === ''));
  }
  t.strictSame(await openRaw(simulator.port, STREAM).lines(1), ['{}']);
  t.equal(simulator.state.streamsOpened, 5);
});

t.test('a cut in the middle of a line looks like a clean end', async (t) => {
  const simulator = await start(t, { paused: true });
  const stream = openRaw(simulator.port, STREAM);
  await stream.lines(1);

  simulator.control.cutMidLine();
  simulator.control.resume();
  await stream.closed;

  t.equal(stream.framesSoFar.length, 0);
  t.match(stream.partialLine, /^{"Events":/);
  t.throws(() => JSON.parse(stream.partialLine) as unknown);
  t.equal((await openRaw(simulator.port, STREAM).frames(FRAMES)).length, FRAMES, 'only once');
});

t.test('without an open stream, the next one is cut in its first line', async (t) => {
  const simulator = await start(t);

  simulator.control.cutMidLine();
  const stream = openRaw(simulator.port, STREAM);
  await stream.closed;

  t.strictSame(stream.framesSoFar, []);
  t.not(stream.partialLine, '');
});

t.test('a stalled server sends nothing, not even heartbeats, and goes on when healed', async (t) => {
  const heartbeats: (() => void)[] = [];
  const every: Clock['every'] = (_, action) => {
    heartbeats.push(action);
    return { cancel: () => undefined };
  };
  const simulator = await start(t, { paused: true, clock: { ...systemClock, every } });
  const open = openRaw(simulator.port, STREAM);
  await open.lines(1);

  await simulator.control.stall();
  const received = open.bytes.length;
  const late = openRaw(simulator.port, STREAM);
  for (const beat of heartbeats) beat();
  simulator.control.resume();
  t.equal((await fetch(`${simulator.url}/v1/nodes`)).status, 200, 'lists answer');
  t.equal(open.bytes.length, received);
  t.equal(late.bytes.length, 0);
  t.notOk(open.socket.closed || late.socket.closed);

  await simulator.control.heal();
  t.equal((await open.frames(FRAMES)).length, FRAMES);
  t.equal((await late.frames(FRAMES)).length, FRAMES);
});

t.test('a server that refuses keeps its open streams and listens again when healed', async (t) => {
  const simulator = await start(t, { paused: true });
  const stream = openRaw(simulator.port, STREAM);
  await stream.lines(1);

  await simulator.control.refuse();
  t.ok(await isRefused(simulator.port));
  simulator.control.resume();
  t.equal((await stream.frames(FRAMES)).length, FRAMES);

  await simulator.control.heal();
  t.notOk(await isRefused(simulator.port));
  t.strictSame(await openRaw(simulator.port, STREAM).lines(1), ['{}']);
});

t.test('a failing server answers 500, a proxy answers a page', async (t) => {
  const simulator = await start(t);
  const cases = [
    { fault: () => simulator.control.answerError(), status: 500, type: 'text/plain', text: /Internal server error/ },
    { fault: () => simulator.control.answerHtml(), status: 200, type: 'text/html', text: /<html>/ },
  ];

  for (const { fault, status, type, text } of cases) {
    await fault();
    for (const path of [STREAM, '/v1/allocations', '/v1/agent/self']) {
      const response = await fetch(simulator.url + path);
      t.equal(response.status, status, path);
      t.ok(response.headers.get('content-type')?.startsWith(type));
      t.match(await response.text(), text);
    }
  }
});

t.test('a denied stream is an empty 200, with or without its lists', async (t) => {
  const simulator = await start(t);
  for (const { lists, status } of [
    { lists: true, status: 403 },
    { lists: false, status: 200 },
  ]) {
    await simulator.control.deny({ lists });
    const stream = openRaw(simulator.port, STREAM);
    await stream.closed;

    t.match(await stream.head(), /^HTTP\/1.1 200 OK/);
    t.equal(stream.body, '');
    t.equal((await fetch(`${simulator.url}/v1/allocations`)).status, status);
  }
});

t.test('after an eviction a stream begins with what is left', async (t) => {
  const simulator = await start(t);

  simulator.control.evict(300);
  const [line = ''] = await openRaw(simulator.port, `${STREAM}&index=200`).frames(1);

  t.equal((JSON.parse(line) as { Index: number }).Index, 301);
});

t.test('a restarted server has an empty buffer, a rebuilt one begins anew', async (t) => {
  const simulator = await start(t);
  const stream = openRaw(simulator.port, STREAM);
  await stream.frames(FRAMES);

  simulator.control.restart();
  await stream.closed;
  t.match(simulator.state, { oldestIndex: undefined, newestIndex: undefined, clients: 0 });
  const kept = openRaw(simulator.port, `${STREAM}&index=355`);
  t.strictSame(await kept.lines(1), ['{}']);

  simulator.control.restart({ indexes: 'anew' });
  await kept.closed;
  t.equal(kept.framesSoFar.length, 0);
  t.match(simulator.state, { oldestIndex: 8, newestIndex: 355 });
});

t.test('other processes control it over HTTP', async (t) => {
  const simulator = await start(t, { controlPort: 0, paused: true });
  const post = async (action: string): Promise<SimulatorState> => {
    const response = await fetch(`${simulator.controlUrl ?? ''}/control/${action}`, { method: 'POST' });
    t.equal(response.status, 200, action);
    return (await response.json()) as SimulatorState;
  };
  const stream = openRaw(simulator.port, STREAM);
  await stream.lines(1);

  t.match(await post('resume'), {
    paused: false,
    frames: FRAMES,
    events: 885,
    clients: 1,
    finished: true,
    newestIndex: 355,
    fault: 'none',
  });
  t.match(await post('evict?index=354'), { oldestIndex: 355 });
  for (const fault of ['stall', 'error', 'html', 'deny?lists=false', 'refuse']) {
    t.equal((await post(fault)).fault, fault.replace(/\?.*/, ''));
  }
  t.ok(await isRefused(simulator.port));
  t.equal((await post('heal')).fault, 'none');
  t.notOk(await isRefused(simulator.port));
  await post('namespace?name=team-a');
  t.ok((await (await fetch(`${simulator.url}/v1/namespaces`)).text()).includes('"team-a"'));
  t.equal((await post('pause')).paused, true);
  t.equal((await post('cut?how=reset')).clients, 0);
  await post('cut-mid-line');
  t.equal((await post('restart?indexes=kept')).newestIndex, undefined);
  t.equal(
    ((await (await fetch(`${simulator.controlUrl ?? ''}/control/state`)).json()) as SimulatorState).streamsOpened,
    1,
  );
});

t.test('the control says what it expected', async (t) => {
  const { controlUrl = '' } = await start(t, { controlPort: 0 });
  const cases = [
    { action: 'explode', status: 404, error: /one of cut, cut-mid-line, stall/ },
    { action: 'constructor', status: 404, error: /one of cut/ },
    { action: 'evict?index=x', status: 400, error: /Expected the parameter `index` to be a number, got "x"/ },
    { action: 'cut?how=hard', status: 400, error: /to be end or reset, got "hard"/ },
    { action: 'namespace', status: 400, error: /to be a name/ },
  ];

  for (const { action, status, error } of cases) {
    const response = await fetch(`${controlUrl}/control/${action}`, { method: 'POST' });
    t.equal(response.status, status, action);
    t.match(((await response.json()) as { error: string }).error, error);
  }
  t.equal((await fetch(`${controlUrl}/control/cut`)).status, 404, 'a GET changes nothing');
});
