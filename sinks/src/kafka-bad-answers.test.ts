/**
 * What the Kafka sink makes of brokers that refuse, of wrong passwords and of servers that are no brokers. The broker
 * here answers as Kafka's protocol has it and keeps nothing.
 */
import { makeSinkMessage } from '@hydrant/shared/delivery/sink-contract';
import type { Sink } from '@hydrant/shared/delivery/sink';
import { describeError, errorCode } from '@hydrant/shared/foundation/errors';
import { loadConfig } from '@hydrant/shared/runtime/config/load-config';
import { makeAuthority, makeCertificate, withoutOpenssl } from '@hydrant/testing/certificates';
import { testFolder } from '@hydrant/testing/test-folder';
import { testLog } from '@hydrant/testing/test-log';
import { once } from 'node:events';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import t, { type Test } from 'tap';
import { kafkaSink } from './kafka.ts';

const never = new AbortController().signal;
const topic = 'nomad-events';

function int8(value: number): Buffer {
  return Buffer.from([value]);
}

function int16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeInt16BE(value);
  return bytes;
}

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
}

function int64(value: number): Buffer {
  return Buffer.concat([int32(value < 0 ? -1 : 0), int32(value)]);
}

function text(value: string): Buffer {
  return Buffer.concat([int16(Buffer.byteLength(value)), Buffer.from(value)]);
}

function listOf(...items: readonly Buffer[]): Buffer {
  return Buffer.concat([int32(items.length), ...items]);
}

const keys = { produce: 0, metadata: 3, saslHandshake: 17, apiVersions: 18, saslAuthenticate: 36 };

/** Codes of Kafka's protocol; 0: all is well. */
interface Moods {
  readonly topic?: number;
  readonly produce?: number;
  readonly password?: number;
}

/** Each kind of request in the one version that the broker says it speaks. */
function answer(key: number, version: number, port: number, moods: Moods): Buffer {
  const { topic: topicCode = 0, produce = 0, password = 0 } = moods;
  if (key === keys.apiVersions) {
    const spoken: readonly (readonly [number, number, number])[] = [
      [keys.produce, 3, 3],
      [keys.metadata, 1, 1],
      [keys.saslHandshake, 1, 1],
      [keys.apiVersions, 0, 2],
      [keys.saslAuthenticate, 0, 0],
    ];
    return Buffer.concat([
      int16(0),
      listOf(...spoken.map((range) => Buffer.concat(range.map(int16)))),
      ...(version === 0 ? [] : [int32(0)]),
    ]);
  }
  if (key === keys.saslHandshake) return Buffer.concat([int16(0), listOf(text('PLAIN'))]);
  if (key === keys.saslAuthenticate)
    return Buffer.concat([
      int16(password),
      password === 0 ? int16(-1) : text('Invalid username or password'),
      int32(0),
    ]);
  if (key === keys.metadata) {
    const partition = Buffer.concat([int16(0), int32(0), int32(1), listOf(int32(1)), listOf(int32(1))]);
    const described = Buffer.concat([
      int16(topicCode),
      text(topic),
      int8(0),
      topicCode === 0 ? listOf(partition) : listOf(),
    ]);
    return Buffer.concat([
      listOf(Buffer.concat([int32(1), text('127.0.0.1'), int32(port), int16(-1)])),
      int32(1),
      listOf(described),
    ]);
  }
  return Buffer.concat([
    listOf(Buffer.concat([text(topic), listOf(Buffer.concat([int32(0), int16(produce), int64(0), int64(-1)]))])),
    int32(0),
  ]);
}

async function listen(t: Test, server: Server): Promise<number> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

function startBroker(t: Test, moods: Moods): Promise<number> {
  return listen(
    t,
    createServer((socket) => {
      let bytes = Buffer.alloc(0);
      socket.on('data', (part) => {
        bytes = Buffer.concat([bytes, part]);
        while (bytes.length >= 4 && bytes.length >= 4 + bytes.readInt32BE(0)) {
          const request = bytes.subarray(4, 4 + bytes.readInt32BE(0));
          bytes = bytes.subarray(4 + request.length);
          const body = answer(request.readInt16BE(0), request.readInt16BE(2), socket.localPort ?? 0, moods);
          socket.write(Buffer.concat([int32(4 + body.length), request.subarray(4, 8), body]));
        }
      });
    }),
  );
}

function createSink(t: Test, port: number, env: Record<string, string> = {}): Sink {
  const sink = kafkaSink.create(
    loadConfig(kafkaSink.settings, {
      env: { SINK_KAFKA_TOPIC: topic, SINK_KAFKA_BROKERS: `127.0.0.1:${String(port)}`, ...env },
    }),
    { log: testLog(), name: 'kafka' },
  );
  t.teardown(() => sink.close());
  return sink;
}

/** What comes of connecting and of one write. */
async function outcomeOf(sink: Sink): Promise<readonly [string, string]> {
  try {
    await sink.connect(never);
    await sink.write([makeSinkMessage(1)], never);
    return ['taken', ''];
  } catch (error) {
    return [String(errorCode(error)), describeError(error)];
  }
}

void t.test('what a broker says of the topic, the records and the password', async (t) => {
  const credentials = { SINK_KAFKA_USER: 'ann', SINK_KAFKA_PASSWORD: 'wr0ng-secret' };
  const cases: readonly (readonly [string, Moods, string, RegExp, Record<string, string>?])[] = [
    ['all is well', {}, 'taken', /^$/u],
    ['the right password', {}, 'taken', /^$/u, credentials],
    [
      'no such topic',
      { topic: 3 },
      'sink-retryable',
      /UNKNOWN_TOPIC_OR_PARTITION.*make the topic or set SINK_KAFKA_TOPIC/u,
    ],
    ['no right to the topic', { topic: 29 }, 'sink-retryable', /TOPIC_AUTHORIZATION_FAILED.*right to write/u],
    ['a message that is too large', { produce: 10 }, 'sink-permanent', /MESSAGE_TOO_LARGE.*max\.message\.bytes/u],
    ['a batch that is too large', { produce: 18 }, 'sink-permanent', /RECORD_LIST_TOO_LARGE/u],
    ['a clock that is ahead', { produce: 32 }, 'sink-retryable', /INVALID_TIMESTAMP.*the clock of this machine/u],
    ['too few replicas', { produce: 19 }, 'sink-retryable', /NOT_ENOUGH_REPLICAS/u],
    ['not the leader', { produce: 6 }, 'sink-retryable', /NOT_LEADER_FOR_PARTITION/u],
    [
      'a wrong password',
      { password: 58 },
      'sink-retryable',
      /set SINK_KAFKA_USER and SINK_KAFKA_PASSWORD/u,
      credentials,
    ],
  ];
  for (const [name, moods, code, message, env] of cases) {
    const sink = createSink(t, await startBroker(t, moods), env);
    const [got, said] = await outcomeOf(sink);
    t.equal(got, code, `${name}: ${said}`);
    t.match(said, message, name);
    t.notMatch(said, /wr0ng-secret/u);
  }
});

void t.test('the health check says that the topic is missing', async (t) => {
  const sink = createSink(t, await startBroker(t, { topic: 3 }));
  await sink.connect(never);

  await t.rejects(sink.healthcheck(never), { code: 'sink-retryable', message: /UNKNOWN_TOPIC_OR_PARTITION/u });
});

void t.test('a broker with an IPv6 address is reached', async (t) => {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', () => {
      socket.destroy();
    });
  });
  let connections = 0;
  server.on('connection', () => {
    connections += 1;
  });
  server.listen(0, '::1');
  await once(server, 'listening');
  t.teardown(() => {
    server.close();
  });

  const [got] = await outcomeOf(
    createSink(t, 1, { SINK_KAFKA_BROKERS: `[::1]:${String((server.address() as AddressInfo).port)}` }),
  );

  t.equal(got, 'sink-retryable');
  t.ok(connections > 0);
});

void t.test('what is no broker is waited for', async (t) => {
  for (const [name, bytes] of [
    ['closes', ''],
    ['closes in the middle', '\x00\x00\x00\x50\x00'],
    ['speaks HTTP', 'HTTP/1.1 400 Bad Request\r\n\r\n<html>'],
  ] as const) {
    const port = await listen(
      t,
      createServer((socket) => {
        socket.once('data', () => {
          socket.end(bytes);
        });
      }),
    );
    const [got, said] = await outcomeOf(createSink(t, port));
    t.equal(got, 'sink-retryable', `${name}: ${said}`);
  }
});

void t.test(
  'a broker whose certificate has expired or is not trusted is named and waited for',
  { skip: withoutOpenssl },
  async (t) => {
    const folder = testFolder(t, {});
    const [authority, other] = [makeAuthority(folder, 'authority'), makeAuthority(folder, 'other')];
    const cases: readonly (readonly [string, number, string, RegExp])[] = [
      ['expired', -1, authority.certFile, /certificate has expired/u],
      ['of another authority', 2, other.certFile, /unable to verify the first certificate|unable to get local issuer/u],
    ];
    for (const [name, days, ca, message] of cases) {
      const { key, cert } = makeCertificate(folder, 'server', authority, ['IP:127.0.0.1'], days);
      const port = await listen(t, createTlsServer({ key, cert }));
      const [got, said] = await outcomeOf(createSink(t, port, { SINK_KAFKA_CA_CERT_PATH: ca }));
      t.equal(got, 'sink-retryable', `${name}: ${said}`);
      t.match(said, message, name);
    }
  },
);
