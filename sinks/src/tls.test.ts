/** TLS of the sinks that speak it to servers of their own protocol: authority, client certificate, and errors that say what is wrong and what to set. */
import { makeSinkMessage } from '@hydrant/shared/delivery/sink-contract';
import type { Sink } from '@hydrant/shared/delivery/sink';
import { describeError } from '@hydrant/shared/foundation/errors';
import { loadConfig } from '@hydrant/shared/runtime/config/load-config';
import type { Schema, Values } from '@hydrant/shared/runtime/config/setting';
import { makeAuthority, makeCertificate, withoutOpenssl, type Certificate } from '@hydrant/testing/certificates';
import { eventually } from '@hydrant/testing/eventually';
import { findFreePorts } from '@hydrant/testing/free-ports';
import { startPrivateRabbitMq } from '@hydrant/testing/private-rabbitmq';
import { startPrivateRedis } from '@hydrant/testing/private-redis';
import { testLog } from '@hydrant/testing/test-log';
import { Redis } from 'ioredis';
import t, { type Test } from 'tap';
import { findSink } from './registry.ts';

type Env = Readonly<Record<string, string>>;

const never = new AbortController().signal;

interface Secured {
  readonly authority: Certificate;
  readonly server: Certificate;
  readonly other: Certificate;
  readonly client: Certificate;
  readonly expired: Certificate;
}

/** The server is called `sink.internal`. */
function makeCertificates(t: Test): Secured {
  const folder = t.testdir({});
  const authority = makeAuthority(folder, 'authority');
  return {
    authority,
    other: makeAuthority(folder, 'other'),
    server: makeCertificate(folder, 'server', authority, ['DNS:sink.internal']),
    client: makeCertificate(folder, 'client', authority, ['DNS:client']),
    expired: makeCertificate(folder, 'old', authority, ['DNS:client'], -1),
  };
}

function createSink(t: Test, type: string, env: Env): Sink {
  const definition = findSink(type);
  if (definition === undefined) throw new Error(`Expected a sink ${type}`);
  // `check` is given what the schema made.
  const values = loadConfig(definition.settings, { env: { ...env }, check: (given) => definition.check?.(given as Values<Schema>) ?? [] });
  const sink = definition.create(values, { log: testLog(), name: type });
  t.teardown(() => sink.close());
  return sink;
}

/** Each wrong setting, and what the error says of it. */
function wrongSettings(prefix: string, { authority, other, client, expired }: Secured): readonly (readonly [string, Env, RegExp])[] {
  const own = { [`${prefix}_CLIENT_CERT`]: client.certFile, [`${prefix}_CLIENT_KEY`]: client.keyFile, [`${prefix}_TLS_SERVER_NAME`]: 'sink.internal' };
  const ca = { [`${prefix}_CACERT`]: authority.certFile };
  return [
    ['no authority', own, new RegExp(`not trusted here: set ${prefix}_CACERT`, 'u')],
    ['another authority', { ...own, [`${prefix}_CACERT`]: other.certFile }, new RegExp(`not signed by an authority in .*other\\.pem \\(${prefix}_CACERT\\)`, 'u')],
    ['another name', { ...own, ...ca, [`${prefix}_TLS_SERVER_NAME`]: 'elsewhere.internal' }, new RegExp(`for other names .*set ${prefix}_TLS_SERVER_NAME`, 'u')],
    ['no client certificate', { ...ca, [`${prefix}_TLS_SERVER_NAME`]: 'sink.internal' }, new RegExp(`client certificate.*${prefix}_CLIENT_CERT`, 'u')],
    ['an expired client certificate', { ...own, ...ca, [`${prefix}_CLIENT_CERT`]: expired.certFile, [`${prefix}_CLIENT_KEY`]: expired.keyFile }, new RegExp(`our own certificate in .*old\\.pem \\(${prefix}_CLIENT_CERT\\) expired on`, 'u')],
  ];
}

function goodSettings(prefix: string, { authority, client }: Secured): Env {
  return { [`${prefix}_CACERT`]: authority.certFile, [`${prefix}_CLIENT_CERT`]: client.certFile, [`${prefix}_CLIENT_KEY`]: client.keyFile, [`${prefix}_TLS_SERVER_NAME`]: 'sink.internal' };
}

/** Until the error says it: what a server has against our certificate may come after the handshake. */
async function whenSaid(sink: Sink, expected: RegExp): Promise<string> {
  let said = '';
  return eventually(async () => {
    said = await sink.connect(never).then(() => sink.write([makeSinkMessage(1)], never)).then(() => 'taken', describeError);
    if (!expected.test(said)) throw new Error(said);
    return said;
  }, { timeoutMs: 60_000, message: `the error to say ${String(expected)}` });
}

async function redisByTls(t: Test, secured: Secured): Promise<void> {
  const { server, authority } = secured;
  const redis = await startPrivateRedis(t, { tls: { certFile: server.certFile, keyFile: server.keyFile, caFile: authority.certFile } });
  const address = { SINK_REDIS_URL: redis.tlsUrl.replace('rediss://', 'rediss://:hidden-word@'), SINK_REDIS_KEY: 'events' };
  const withoutPassword = { ...address, SINK_REDIS_URL: redis.tlsUrl };
  const look = new Redis(redis.url);
  t.teardown(() => { look.disconnect(); });

  await t.test('with authority, client certificate and server name events arrive', async (t) => {
    const sink = createSink(t, 'redis', { ...withoutPassword, ...goodSettings('SINK_REDIS', secured) });
    await eventually(() => sink.connect(never).then(() => true), { timeoutMs: 60_000 });
    await sink.write([makeSinkMessage(1)], never);

    t.same(await look.lrange('events', 0, -1), [makeSinkMessage(1).body.toString()]);
  });

  for (const [name, env, expected] of wrongSettings('SINK_REDIS', secured)) {
    await t.test(`${name}: the error says what is wrong and what to set`, async (t) => {
      const said = await whenSaid(createSink(t, 'redis', { ...address, ...env }), expected);
      t.notMatch(said, /hidden-word/u);
      t.equal(await look.llen('events'), 1);
    });
  }
}

async function amqpByTls(t: Test, secured: Secured): Promise<void> {
  const { server, authority } = secured;
  const [port] = await findFreePorts(1) as [number];
  const broker = await startPrivateRabbitMq(t, {
    exclusive: true,
    config: [
      `listeners.ssl.default = 127.0.0.1:${String(port)}`, `ssl_options.cacertfile = ${authority.certFile}`, `ssl_options.certfile = ${server.certFile}`, `ssl_options.keyfile = ${server.keyFile}`,
      'ssl_options.verify = verify_peer', 'ssl_options.fail_if_no_peer_cert = true',
    ],
  });
  const address = { SINK_AMQP_CONNECTION: broker.urlAt(port).replace('amqp:', 'amqps:'), SINK_AMQP_EXCHANGE: 'copy' };

  await t.test('with authority, client certificate and server name events are confirmed', async (t) => {
    const sink = createSink(t, 'amqp', { ...address, ...goodSettings('SINK_AMQP', secured) });
    await eventually(() => sink.connect(never).then(() => true), { timeoutMs: 60_000 });

    await t.resolves(sink.write([makeSinkMessage(1)], never));
    await t.resolves(sink.healthcheck(never));
  });

  for (const [name, env, expected] of wrongSettings('SINK_AMQP', secured)) {
    await t.test(`${name}: the error says what is wrong and what to set`, async (t) => {
      const said = await whenSaid(createSink(t, 'amqp', { ...address, ...env }), expected);
      t.notMatch(said, /guest:guest/u);
    });
  }
}

void t.test('by TLS', { skip: withoutOpenssl }, async (t) => {
  const secured = makeCertificates(t);
  await t.test('redis', (t) => redisByTls(t, secured));
  await t.test('amqp', (t) => amqpByTls(t, secured));
});
