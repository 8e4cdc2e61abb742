import { makeAuthority, makeCertificate, withoutOpenssl, type Certificate } from '@hydrant/testing/certificates';
import { eventually } from '@hydrant/testing/eventually';
import { findFreePorts } from '@hydrant/testing/free-ports';
import { startPrivateRabbitMq } from '@hydrant/testing/private-rabbitmq';
import { testFolder } from '@hydrant/testing/test-folder';
import { testLog } from '@hydrant/testing/test-log';
import t, { type Test } from 'tap';
import { systemClock } from '../../foundation/clock.ts';
import { noTls, type TlsOptions } from '../../runtime/tls/tls-settings.ts';
import { createAmqpBus, type AmqpBus } from './amqp-bus.ts';

const never = new AbortController().signal;

interface Secured {
  readonly authority: Certificate;
  readonly other: Certificate;
  readonly client: Certificate;
  readonly expired: Certificate;
  /** Of the listener with TLS. */
  readonly url: string;
  connect(url: string | readonly string[], tls: Partial<TlsOptions>): AmqpBus;
}

async function startSecured(t: Test): Promise<Secured> {
  const folder = testFolder(t, {});
  const [authority, other] = [makeAuthority(folder, 'authority'), makeAuthority(folder, 'other')];
  const [port] = (await findFreePorts(1)) as [number];
  const server = makeCertificate(folder, 'server', authority, ['DNS:rabbitmq.internal']);
  const broker = await startPrivateRabbitMq(t, {
    exclusive: true,
    plugins: ['rabbitmq_auth_mechanism_ssl'],
    config: [
      'auth_mechanisms.1 = PLAIN',
      'auth_mechanisms.2 = EXTERNAL',
      'ssl_cert_login_from = common_name',
      `listeners.ssl.default = 127.0.0.1:${String(port)}`,
      `ssl_options.cacertfile = ${authority.certFile}`,
      `ssl_options.certfile = ${server.certFile}`,
      `ssl_options.keyfile = ${server.keyFile}`,
      'ssl_options.verify = verify_peer',
      'ssl_options.fail_if_no_peer_cert = true',
    ],
  });
  await broker.ctl('add_user', 'client', 'not used');
  await broker.ctl('set_permissions', 'client', '.*', '.*', '.*');
  const url = broker.urlAt(port).replace('amqp:', 'amqps:');
  return {
    authority,
    other,
    url,
    client: makeCertificate(folder, 'client', authority, ['DNS:client']),
    expired: makeCertificate(folder, 'old', authority, ['DNS:client'], -1),
    connect(urls, tls) {
      const bus = createAmqpBus({
        urls: [urls].flat(),
        exchange: 'nomad',
        connectionName: 'test',
        log: testLog(),
        clock: systemClock,
        tls: { ...noTls('AMQP'), ...tls },
      });
      t.teardown(() => bus.stop(AbortSignal.abort()));
      void bus.start(never);
      return bus;
    },
  };
}

function healthOf(bus: AmqpBus) {
  return bus.healthChecks[0]?.check() ?? { status: 'fail' as const, detail: '' };
}

void t.test('TLS to RabbitMQ', { skip: withoutOpenssl }, async (t) => {
  const { authority, other, client, expired, url, connect } = await startSecured(t);
  const own = { certFile: client.certFile, keyFile: client.keyFile, serverName: 'rabbitmq.internal' };

  await t.test(
    'with an authority, a client certificate and a server name it is up, past an address where nobody is',
    async (t) => {
      const bus = connect(['amqps://127.0.0.1:1/', url], { ...own, caFile: authority.certFile });
      await eventually(() => healthOf(bus).status === 'pass');
      t.match(healthOf(bus).detail, /^Connected to amqps:\/\/127\.0\.0\.1:/u);
    },
  );

  await t.test('with auth_mechanism=external the certificate is the login', async (t) => {
    const external = `${url.replace('guest:guest@', '')}?auth_mechanism=external`;
    const bus = connect(external, { ...own, caFile: authority.certFile });
    await eventually(() => healthOf(bus).status === 'pass');

    const unknown = makeCertificate(testFolder(t, {}), 'unknown', authority, ['DNS:client']);
    const stranger = connect(external, {
      ...own,
      caFile: authority.certFile,
      certFile: unknown.certFile,
      keyFile: unknown.keyFile,
    });
    const detail = await eventually(
      () => healthOf(stranger).detail?.includes(': ') === true && healthOf(stranger).detail,
    );
    t.match(detail, /there is no user of the name in the certificate/u);
  });

  const cases: readonly (readonly [string, Partial<TlsOptions>, RegExp])[] = [
    ['no authority', own, /signed by an authority that is not trusted here: set AMQP_CACERT/u],
    [
      'another authority',
      { ...own, caFile: other.certFile },
      /is not signed by an authority in .*other\.pem \(AMQP_CACERT\)/u,
    ],
    [
      'another name',
      { ...own, caFile: authority.certFile, serverName: null },
      /for other names .*set AMQP_TLS_SERVER_NAME/u,
    ],
    [
      'no client certificate',
      { ...own, caFile: authority.certFile, certFile: null, keyFile: null },
      /client certificate.*AMQP_CLIENT_CERT/u,
    ],
    [
      'an expired client certificate',
      { ...own, caFile: authority.certFile, certFile: expired.certFile, keyFile: expired.keyFile },
      /our own certificate in .*old\.pem \(AMQP_CLIENT_CERT\) expired on .*: renew it/u,
    ],
    [
      'a file that is not there',
      { ...own, caFile: '/nowhere/ca.pem' },
      /Expected to read what `AMQP_CACERT` names, \/nowhere\/ca\.pem, could not: ENOENT/u,
    ],
  ];
  for (const [name, tls, expected] of cases) {
    await t.test(`${name}: the check says what is wrong and what to do`, async (t) => {
      const bus = connect(url, tls);
      const detail = await eventually(() => [healthOf(bus).detail ?? ''].find((said) => expected.test(said)), {
        message: `the check to say ${String(expected)}`,
      });
      t.notMatch(detail, /guest/u);
    });
  }
});
