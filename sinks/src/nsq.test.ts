import { sinkContract, makeSinkMessage } from '@hydrant/shared/delivery/sink-contract';
import type { Sink } from '@hydrant/shared/delivery/sink';
import { isRetryable } from '@hydrant/shared/foundation/errors';
import { loadConfig } from '@hydrant/shared/runtime/config/load-config';
import { testLog } from '@hydrant/testing/test-log';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import { encodePublish, judgeFrame, nsqSink, readFrame } from './nsq.ts';

const never = new AbortController().signal;
const topic = 'nomad-events';

function load(env: Record<string, string>) {
  return loadConfig(nsqSink.settings, {
    env: { SINK_NSQ_TOPIC_NAME: topic, ...env },
    check: (values) => nsqSink.check?.(values as Parameters<NonNullable<typeof nsqSink.check>>[0]) ?? [],
  });
}

function createSink(port: number, env: Record<string, string> = {}): Sink {
  return nsqSink.create(load({ SINK_NSQ_ADDR: `127.0.0.1:${String(port)}`, ...env }), { log: testLog(), name: 'nsq' });
}

function makeFrame(kind: 0 | 1 | 2, text: string): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt32BE(4 + Buffer.byteLength(text), 0);
  head.writeUInt32BE(kind, 4);
  return Buffer.concat([head, Buffer.from(text)]);
}

/** Speaks what the sink needs of nsqd's protocol, V2. `say` decides before a batch is kept; undefined keeps it. */
async function startNsqd(t: Test) {
  const server = {
    port: 0,
    bodies: [] as string[],
    topics: new Set<string>(),
    noOperations: 0,
    heartbeatFirst: false,
    mode: 'take' as 'take' | 'reset' | 'hang',
    state: 'cannot CLS in current state',
    say: (): string | undefined => undefined,
  };
  const sockets = new Set<Socket>();
  const listener = createServer((socket) => {
    let bytes = Buffer.alloc(0);
    sockets.add(socket);
    socket.on('error', () => undefined);
    if (server.mode === 'reset') socket.resetAndDestroy();
    socket.on('data', (part) => {
      if (server.mode !== 'take') return;
      bytes = Buffer.concat([bytes, part]);
      if (bytes.subarray(0, 4).toString() !== '  V2') return void socket.end(makeFrame(1, 'E_BAD_PROTOCOL'));
      const lineEnd = bytes.indexOf('\n', 4);
      if (lineEnd < 0) return;
      const [command = '', name = ''] = bytes.toString('utf8', 4, lineEnd).split(' ');
      if (command === 'CLS') return void socket.end(makeFrame(1, `E_INVALID ${server.state}`));
      if (bytes.length < lineEnd + 5 || bytes.length < lineEnd + 5 + bytes.readUInt32BE(lineEnd + 1)) return;
      const end = lineEnd + 5 + bytes.readUInt32BE(lineEnd + 1);
      if (server.heartbeatFirst && !bytes.subarray(end).toString().startsWith('NOP\n'))
        return void socket.write(makeFrame(0, '_heartbeat_'));
      if (bytes.subarray(end).toString() === 'NOP\n') server.noOperations += 1;
      const problem = server.say();
      if (problem !== undefined) return void socket.end(makeFrame(1, problem));
      const count = bytes.readUInt32BE(lineEnd + 5);
      let at = lineEnd + 9;
      for (let n = 0; n < count; n += 1) {
        const length = bytes.readUInt32BE(at);
        server.bodies.push(bytes.toString('utf8', at + 4, at + 4 + length));
        at += 4 + length;
      }
      server.topics.add(name);
      // In two parts: a frame may come in pieces.
      const answer = makeFrame(0, 'OK');
      socket.write(answer.subarray(0, 3));
      socket.write(answer.subarray(3));
    });
  });
  await new Promise<void>((resolve) => {
    listener.listen(0, '127.0.0.1', resolve);
  });
  server.port = (listener.address() as AddressInfo).port;
  t.teardown(() => {
    listener.close();
    for (const socket of sockets) socket.destroy();
  });
  return server;
}

sinkContract(t, {
  name: 'nsq',
  without: { refuseOne: 'a batch is taken whole or not at all; messages that are too long have a test of their own' },
  async create(t) {
    const server = await startNsqd(t);
    return {
      sink: createSink(server.port),
      arrived: () => server.bodies,
      breakDown: () => {
        server.mode = 'reset';
      },
      mend() {
        server.mode = 'take';
        server.say = () => undefined;
      },
      stall: () => {
        server.mode = 'hang';
      },
      refuse: () => {
        server.say = () => 'E_BAD_MESSAGE MPUB message too big';
      },
    };
  },
});

void t.test('a batch goes to its topic, and a heartbeat before the answer is answered', async (t) => {
  const server = await startNsqd(t);
  const sink = createSink(server.port);
  server.heartbeatFirst = true;

  await sink.write([makeSinkMessage(1), makeSinkMessage(2)], never);

  t.same([...server.topics], [topic]);
  t.equal(server.bodies.length, 2);
  t.equal(server.noOperations, 1);
});

void t.test('messages that do not fit are named and not sent, the others are taken', async (t) => {
  const server = await startNsqd(t);
  const sink = createSink(server.port, { SINK_NSQ_MAX_MESSAGE: '1KiB' });
  const long = makeSinkMessage(2, { body: Buffer.alloc(1025, 'x') });
  const empty = makeSinkMessage(3, { body: Buffer.alloc(0) });

  await t.rejects(sink.write([makeSinkMessage(1), long, empty, makeSinkMessage(4)], never), {
    code: 'sink-partial',
    failures: [
      { index: 1, retryable: false, reason: /SINK_NSQ_MAX_MESSAGE/u },
      { index: 2, retryable: false, reason: /empty/u },
    ],
  });
  t.same(
    server.bodies,
    [makeSinkMessage(1), makeSinkMessage(4)].map(({ body }) => body.toString()),
  );
});

void t.test('an nsqd that wants TLS is waited for, and the log and the health say what to set', async (t) => {
  const server = await startNsqd(t);
  server.say = () => 'E_INVALID cannot MPUB in current state (TLS required)';
  server.state = 'cannot CLS in current state (TLS required)';
  const sink = createSink(server.port);

  await t.rejects(sink.write([makeSinkMessage(1)], never), {
    code: 'sink-retryable',
    message: /TLS \(`-tls-required`\)/u,
  });
  await t.rejects(sink.healthcheck(never), { code: 'sink-retryable', message: /-tls-required=tcp-https/u });
});

void t.test('what nsqd says decides: taken, refused for good, or tried again', (t) => {
  const cases: readonly (readonly [Parameters<typeof judgeFrame>[0], 'taken' | 'refused' | 'retry'])[] = [
    [{ kind: 'response', text: 'OK' }, 'taken'],
    [{ kind: 'error', text: 'E_BAD_MESSAGE MPUB message too big 5 > 4' }, 'refused'],
    [{ kind: 'error', text: 'E_BAD_BODY MPUB body too big' }, 'refused'],
    [{ kind: 'error', text: 'E_INVALID' }, 'refused'],
    [{ kind: 'error', text: 'E_INVALID cannot MPUB in current state' }, 'retry'],
    [{ kind: 'error', text: 'E_INVALID cannot MPUB in current state (TLS required)' }, 'retry'],
    [{ kind: 'error', text: 'E_BAD_TOPIC MPUB topic name is not valid' }, 'retry'],
    [{ kind: 'error', text: 'E_MPUB_FAILED' }, 'retry'],
    [{ kind: 'error', text: 'E_UNAUTHORIZED' }, 'retry'],
    [{ kind: 'error', text: '' }, 'retry'],
    [{ kind: 'response', text: 'CLOSE_WAIT' }, 'retry'],
    [{ kind: 'message', text: 'OK' }, 'retry'],
  ];
  for (const [frame, expected] of cases) {
    const failure = judgeFrame(frame);
    t.equal(
      failure === undefined ? 'taken' : isRetryable(failure) ? 'retry' : 'refused',
      expected,
      JSON.stringify(frame),
    );
  }
  t.end();
});

void t.test('answers that nobody hoped for wait, and say what to do', async (t) => {
  const cases: readonly (readonly [string, Buffer | 'reset', RegExp])[] = [
    ['closes without an answer', Buffer.alloc(0), /closed the connection/u],
    ['closes in the middle of an answer', makeFrame(0, 'OK').subarray(0, 6), /closed the connection/u],
    ['resets the connection', 'reset', /at 127\.0\.0\.1:\d+ to answer, got ECONNRESET/u],
    ['speaks HTTP', Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n<html>'), /is SINK_NSQ_ADDR its TCP address\?/u],
    ['has no such topic', makeFrame(1, 'E_BAD_TOPIC MPUB topic name "x" is not valid'), /set SINK_NSQ_TOPIC_NAME/u],
    ['wants a secret', makeFrame(1, 'E_AUTH_FIRST'), /asks for a secret/u],
  ];
  for (const [name, answer, message] of cases) {
    const server = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.once('data', () => {
        if (answer === 'reset') socket.resetAndDestroy();
        else socket.end(answer);
      });
    });
    await new Promise<void>((resolve) => {
      server.listen(0, '127.0.0.1', resolve);
    });
    t.teardown(() => {
      server.close();
    });

    await t.rejects(
      createSink((server.address() as AddressInfo).port).write([makeSinkMessage(1)], never),
      { code: 'sink-retryable', message },
      name,
    );
  }
});

void t.test('frames are read as they come, and what is none is refused', (t) => {
  const bytes = Buffer.concat([makeFrame(0, 'OK'), makeFrame(1, 'E_X')]);
  for (let length = 0; length < 10; length += 1) t.equal(readFrame(bytes.subarray(0, length)), undefined);
  t.match(readFrame(bytes), { frame: { kind: 'response', text: 'OK' }, rest: makeFrame(1, 'E_X') });
  t.throws(() => readFrame(Buffer.from('HTTP/1.1 400 Bad Request')), {
    code: 'sink-retryable',
    message: /SINK_NSQ_ADDR/u,
  });
  t.throws(() => readFrame(Buffer.alloc(8)), { code: 'sink-retryable' });
  t.equal(
    encodePublish('t', [Buffer.from('ab')]).toString('hex'),
    Buffer.concat([Buffer.from('MPUB t\n'), Buffer.from('0000000a00000001000000026162', 'hex')]).toString('hex'),
  );
  t.end();
});

void t.test('settings that cannot work are refused', (t) => {
  const cases: readonly (readonly [Record<string, string>, RegExp])[] = [
    [{ SINK_NSQ_ADDR: 'http://nsqd:4151' }, /`SINK_NSQ_ADDR` to be nsqd's TCP address/u],
    [{ SINK_NSQ_ADDR: 'n:4150', SINK_NSQ_TOPIC_NAME: 'a b' }, /`SINK_NSQ_TOPIC_NAME`/u],
    [{ SINK_NSQ_ADDR: 'n:4150', SINK_NSQ_TOPIC_NAME: 'x'.repeat(65) }, /`SINK_NSQ_TOPIC_NAME`/u],
  ];
  for (const [env, message] of cases) t.throws(() => load(env), { message });
  t.doesNotThrow(() => load({ SINK_NSQ_ADDR: 'n:4150', SINK_NSQ_TOPIC_NAME: 'a#ephemeral' }));
  t.end();
});
