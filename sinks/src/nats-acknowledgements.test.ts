import { makeSinkMessage } from '@hydrant/shared/delivery/sink-contract';
import { describeError } from '@hydrant/shared/foundation/errors';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import { judgeFailure, makeFilter, makeHeaders, makeSubject } from './nats.ts';
import { type Env, failuresOf, load, never, openSink } from './nats-cases-contract.ts';

/** Greets, and calls `answer` with each message's number and how to reply to it. */
async function startFakeServer(t: Test, answer: (n: number, reply: (payload: string) => void, socket: Socket) => void) {
  const server = { url: '', published: 0 };
  const listener = createServer((socket) => {
    let rest = '';
    socket.on('error', () => undefined);
    socket.write(
      'INFO {"server_id":"x","version":"2.9.10","proto":1,"headers":true,"max_payload":1048576,"jetstream":true}\r\n',
    );
    socket.on('data', (bytes) => {
      rest += bytes.toString('latin1');
      for (
        let match = /^(?:HPUB \S+ (\S+) \d+ (\d+)|(PING)|[A-Z]+[^\r]*)\r\n/u.exec(rest);
        match !== null;
        match = /^(?:HPUB \S+ (\S+) \d+ (\d+)|(PING)|[A-Z]+[^\r]*)\r\n/u.exec(rest)
      ) {
        const [line, inbox, length, ping] = match;
        if (length !== undefined && rest.length < line.length + Number(length) + 2) return;
        rest = rest.slice(line.length + (length === undefined ? 0 : Number(length) + 2));
        if (ping !== undefined) socket.write('PONG\r\n');
        if (inbox !== undefined)
          answer(
            server.published++,
            (payload) => {
              socket.write(`MSG ${inbox} 1 ${String(payload.length)}\r\n${payload}\r\n`);
            },
            socket,
          );
      }
    });
    t.teardown(() => {
      socket.destroy();
    });
  });
  await new Promise<void>((resolve) => {
    listener.listen(0, '127.0.0.1', resolve);
  });
  t.teardown(() => {
    listener.close();
  });
  server.url = `nats://127.0.0.1:${String((listener.address() as AddressInfo).port)}`;
  return server;
}

const taken = '{"stream":"NOMAD","seq":1}';
const batch = Array.from({ length: 300 }, (_, n) => makeSinkMessage(n));

void t.test('when the connection is lost, what was not acknowledged is named', async (t) => {
  const server = await startFakeServer(t, (n, reply, socket) => {
    if (n < 3) reply(taken);
    if (n === 255) socket.end();
  });
  const failures = await failuresOf((await openSink(t, server.url)).write(batch, never));

  t.same(
    failures.map(({ index }) => index),
    batch.map((_message, index) => index).slice(3),
  );
  t.ok(failures.every(({ retryable, reason }) => retryable && /connection/u.test(reason)));
});

void t.test('when time is up, what was not acknowledged is named, and no more than the window was sent', async (t) => {
  const limit = new AbortController();
  const server = await startFakeServer(t, (n, reply) => {
    if (n % 2 === 0 && n < 20) reply(taken);
    if (n === 255 + 10) limit.abort();
  });
  const failures = await failuresOf((await openSink(t, server.url)).write(batch, limit.signal));

  t.equal(server.published, 256 + 10);
  t.equal(failures.length, batch.length - 10);
  t.ok(failures.every(({ retryable }) => retryable));
  t.notOk(failures.some(({ index }) => index % 2 === 0 && index < 20));
});

void t.test('an answer that is no acknowledgement is none', async (t) => {
  const answers = ['{}', 'ok', '', '{"stream":"NOMAD"}', '{"stream":"","seq":1}', 'null', taken];
  const server = await startFakeServer(t, (n, reply) => {
    reply(answers[n] ?? '');
  });
  const failures = await failuresOf((await openSink(t, server.url)).write(batch.slice(0, answers.length), never));

  t.same(
    failures.map(({ index }) => index),
    [0, 1, 2, 3, 4, 5],
  );
  t.ok(failures.every(({ retryable }) => retryable));
});

void t.test('what JetStream says decides: refused for good, tried again, or in doubt', (t) => {
  const say = (code: number): Error =>
    Object.assign(new Error(`it says ${String(code)}`), { name: 'JetStreamApiError', code });
  for (const code of [10054, 10097]) t.match(judgeFailure(say(code), 'a.b'), { retryable: false, isDoubtful: false });
  for (const code of [10002, 10023, 10039, 10060, 10077])
    t.match(judgeFailure(new Error('wrapped', { cause: say(code) }), 'a.b'), {
      retryable: true,
      isDoubtful: false,
      reason: /\(\d+: ./u,
    });
  t.match(judgeFailure(say(19_999), 'a.b'), {
    retryable: true,
    isDoubtful: true,
    reason: /to take a\.b, got it says 19999 \(19999\)$/u,
  });
  t.match(judgeFailure(Object.assign(new Error('too much'), { name: 'InvalidArgumentError' }), 'a.b'), {
    retryable: false,
  });
  t.match(judgeFailure('thrown', 'a.b'), { retryable: true, reason: /thrown$/u });
  t.end();
});

void t.test('a subject has the tokens of its template and routing key, whatever an event is called', (t) => {
  const cases: readonly (readonly [template: string, routingKey: string, subject: string, filter: string])[] = [
    ['nomad.{routing_key}', 'event.Job.JobRegistered.prod.web', 'nomad.event.Job.JobRegistered.prod.web', 'nomad.>'],
    ['nomad.{routing_key}', 'crash-loop', 'nomad.crash-loop', 'nomad.>'],
    ['nomad.{namespace}.{job}', 'event.Job.JobRegistered.prod.web', 'nomad.prod.web', 'nomad.*.*'],
    ['nomad.{namespace}.x-{job}', 'crash-loop', 'nomad._.x-_', 'nomad.*.*'],
    ['nomad.{namespace}.{job}', 'event.Job.JobRegistered.*.a > b\r\nPUB x 0', 'nomad._.a___b__PUB_x_0', 'nomad.*.*'],
    ['nomad.{routing_key}', '..$JS.*.>', 'nomad._._.$JS._._', 'nomad.>'],
    [
      'nomad.{job}.{routing_key}.end',
      'event.a.b.c.{routing_key}',
      'nomad.{routing_key}.event.a.b.c.{routing_key}.end',
      'nomad.*.>',
    ],
    ['fixed', 'crash-loop', 'fixed', 'fixed'],
  ];
  for (const [template, routingKey, subject, filter] of cases) {
    t.equal(makeSubject(template, makeSinkMessage(1, { routingKey })), subject);
    t.equal(makeFilter(template), filter);
  }
  t.same(
    makeHeaders(
      makeSinkMessage(1, {
        id: '',
        type: '',
        appId: ' ',
        contentType: '',
        headers: { type: 'x', 'Nats-TTL': '1s', ä: 1, 'a:': 2 },
      }),
      'S',
    ),
    [['Nats-Expected-Stream', 'S']],
  );
  t.end();
});

void t.test('settings that cannot work are refused', (t) => {
  const cases: readonly (readonly [Env, RegExp])[] = [
    [{ SINK_NATS_SERVERS: 'http://n' }, /`SINK_NATS_SERVERS`/u],
    [{ SINK_NATS_SERVERS: 'nats://ann:s3cr3t@n' }, /`SINK_NATS_SERVERS` to hold no login/u],
    ...[
      'a b',
      'a.>',
      '*.a',
      'a..b',
      '.a',
      'a.',
      '$JS.API',
      '_INBOX.x',
      '{job}.x',
      '{routing_key}',
      'a{job}.x',
      'a.{name}',
    ].map((subject) => [{ SINK_NATS_SUBJECT: subject }, /`SINK_NATS_SUBJECT`/u] as const),
    [{ SINK_NATS_STREAM: 'a.b' }, /`SINK_NATS_STREAM`/u],
    [{ SINK_NATS_USER: 'a' }, /set together/u],
    [{ SINK_NATS_PASSWORD: 'a' }, /set together/u],
    [{ SINK_NATS_USER: 'a', SINK_NATS_PASSWORD: 'b', SINK_NATS_TOKEN: 'c' }, /got several/u],
    [{ SINK_NATS_CREDENTIALS_FILE: 'a', SINK_NATS_TOKEN: 'c' }, /got several/u],
    [{ SINK_NATS_CLIENT_CERT: 'a' }, /`SINK_NATS_CLIENT_CERT` and `SINK_NATS_CLIENT_KEY`/u],
  ];
  for (const [env, message] of cases) t.throws(() => load(env), { message }, JSON.stringify(env));
  t.notMatch(
    ((): string => {
      try {
        load({ SINK_NATS_SERVERS: 'nats://ann:s3cr3t@n' });
        return '';
      } catch (error) {
        return describeError(error);
      }
    })(),
    /s3cr3t/u,
  );
  for (const subject of ['nomad', 'nomad.{routing_key}', 'a-b.x{job}y.{namespace}'])
    t.doesNotThrow(() => load({ SINK_NATS_SUBJECT: subject }));
  t.end();
});
