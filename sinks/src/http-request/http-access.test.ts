import { makeSinkMessage } from '@hydrant/shared/delivery/sink-contract';
import type { Sink } from '@hydrant/shared/delivery/sink';
import { describeError } from '@hydrant/shared/foundation/errors';
import { loadConfig } from '@hydrant/shared/runtime/config/load-config';
import { makeAuthority, makeCertificate, withoutOpenssl } from '@hydrant/testing/certificates';
import { startHttpReceiver } from '@hydrant/testing/http-receiver';
import { testFolder } from '@hydrant/testing/test-folder';
import { recordingLog, testLog } from '@hydrant/testing/test-log';
import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { connect, createServer as createPipe, type AddressInfo, type Server } from 'node:net';
import { createServer as createTlsListener, type TlsOptions } from 'node:tls';
import { gunzipSync } from 'node:zlib';
import { Webhook } from 'standardwebhooks';
import t, { type Test } from 'tap';
import { httpSink } from '../http.ts';
import { lokiSink } from '../loki.ts';
import { findSink } from '../registry.ts';
import { signWebhook } from './sign-webhook.ts';

const never = new AbortController().signal;
const secret = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;
const newSecret = `whsec_${Buffer.alloc(24, 9).toString('base64')}`;

function load(env: Record<string, string>) {
  return loadConfig(httpSink.settings, {
    env,
    check: (values) => httpSink.check?.(values as Parameters<NonNullable<typeof httpSink.check>>[0]) ?? [],
  });
}

async function open(t: Test, env: Record<string, string>, log = testLog()): Promise<Sink> {
  const sink = httpSink.create(load(env), { log, name: 'http' });
  await sink.connect(never);
  t.teardown(() => sink.close());
  return sink;
}

async function listen(t: Test, server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

function failureOf(sink: Sink): Promise<string> {
  return sink.write([makeSinkMessage(1)], never).then(() => 'taken', describeError);
}

void t.test(
  'a signed request is verified by the library of Standard Webhooks, by the old secret and by the new one',
  async (t) => {
    const receiver = await startHttpReceiver(t);
    for (const gzip of ['false', 'true']) {
      receiver.clear();
      const sink = await open(t, {
        SINK_HTTP_ADDRESS: receiver.url,
        SINK_HTTP_SIGNING_SECRET: `${secret}, ${newSecret}`,
        SINK_HTTP_HEADERS: 'Accept: */*',
        SINK_HTTP_GZIP: gzip,
      });
      const batch = [makeSinkMessage(1, { id: 'a.b/1' }), makeSinkMessage(2)];
      await sink.write(batch, never);
      await sink.write(batch, never);

      const [request, repeat] = receiver.requests;
      t.match(request?.headers['webhook-id'], /^a_b\/1-[0-9a-f]{16}$/u);
      t.equal(repeat?.headers['webhook-id'], request?.headers['webhook-id'], 'a second try has the same id');
      if (gzip === 'true') continue;
      for (const each of [secret, newSecret])
        t.doesNotThrow(() => new Webhook(each).verify(request?.body ?? '', request?.headers as Record<string, string>));
      t.throws(() =>
        new Webhook(secret).verify(`${String(request?.body)} `, request?.headers as Record<string, string>),
      );
    }
  },
);

void t.test('the signature is that of the example in the specification of a signed content', (t) => {
  const headers = signWebhook(['whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'], {
    id: 'msg_p5jXN8AQM9LWM0D4loKWxJek',
    nowMs: 1_614_265_330_000,
    body: Buffer.from('{"test": 2432232314}'),
  });

  t.same(headers, {
    'webhook-id': 'msg_p5jXN8AQM9LWM0D4loKWxJek',
    'webhook-timestamp': '1614265330',
    'webhook-signature': 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
  });
  t.end();
});

void t.test('what is compressed is signed as it is sent', async (t) => {
  const bodies: Buffer[] = [];
  const requests: IncomingMessage[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      bodies.push(Buffer.concat(chunks));
      requests.push(request);
      response.end();
    });
  });
  const sink = await open(t, {
    SINK_HTTP_ADDRESS: `http://127.0.0.1:${String(await listen(t, server))}`,
    SINK_HTTP_SIGNING_SECRET: secret,
    SINK_HTTP_GZIP: 'true',
  });
  await sink.write([makeSinkMessage(1)], never);

  const [body] = bodies;
  const headers = requests[0]?.headers as Record<string, string>;
  const again = signWebhook([secret], {
    id: headers['webhook-id'] ?? '',
    nowMs: Number(headers['webhook-timestamp']) * 1000,
    body: body ?? Buffer.alloc(0),
  });
  t.equal(headers['webhook-signature'], again['webhook-signature']);
  t.match(JSON.parse(gunzipSync(body ?? Buffer.alloc(0)).toString()), [{ Index: 1 }]);
});

void t.test(
  'certificates: verified unless told otherwise, and what is wrong is said with the setting that mends it',
  { skip: withoutOpenssl },
  async (t) => {
    const folder = testFolder(t, {});
    const [authority, other] = [makeAuthority(folder, 'authority'), makeAuthority(folder, 'other')];
    const client = makeCertificate(folder, 'client', authority, ['DNS:client']);
    const start = async (days: number, wantsClient: boolean): Promise<string> => {
      const { key, cert } = makeCertificate(
        folder,
        `server${String(days)}`,
        authority,
        ['DNS:collector.internal'],
        days,
      );
      const server = createTlsServer(
        { key, cert, ca: authority.cert, requestCert: wantsClient, rejectUnauthorized: wantsClient },
        (request, response) => {
          request.resume().once('end', () => {
            response.end();
          });
        },
      );
      return `https://127.0.0.1:${String(await listen(t, server))}`;
    };
    const [good, expired] = [await start(2, true), await start(-1, false)];
    const own = {
      SINK_HTTP_CLIENT_CERT: client.certFile,
      SINK_HTTP_CLIENT_KEY: client.keyFile,
      SINK_HTTP_TLS_SERVER_NAME: 'collector.internal',
    };
    const cases: readonly (readonly [string, Record<string, string>, RegExp])[] = [
      [good, { ...own, SINK_HTTP_CACERT: authority.certFile }, /^taken$/u],
      [good, { ...own, SINK_HTTP_SKIP_VERIFY: 'true' }, /^taken$/u],
      [good, own, /not trusted here: set SINK_HTTP_CACERT/u],
      [
        good,
        { ...own, SINK_HTTP_CACERT: other.certFile },
        /not signed by an authority in .*other\.pem \(SINK_HTTP_CACERT\)/u,
      ],
      [
        good,
        { ...own, SINK_HTTP_CACERT: authority.certFile, SINK_HTTP_TLS_SERVER_NAME: '' },
        /for other names .*set SINK_HTTP_TLS_SERVER_NAME/u,
      ],
      [
        good,
        { SINK_HTTP_CACERT: authority.certFile, SINK_HTTP_TLS_SERVER_NAME: 'collector.internal' },
        /client certificate.*SINK_HTTP_CLIENT_CERT/u,
      ],
      [
        expired,
        { SINK_HTTP_CACERT: authority.certFile, SINK_HTTP_TLS_SERVER_NAME: 'collector.internal' },
        /the server's certificate, or that of an authority above it, has expired/u,
      ],
    ];
    for (const [address, env, expected] of cases) {
      const { log, lines } = recordingLog('warn');
      t.match(await failureOf(await open(t, { SINK_HTTP_ADDRESS: address, ...env }, log)), expected);
      t.equal(lines.length, 'SINK_HTTP_SKIP_VERIFY' in env ? 1 : 0, 'not to verify is warned of');
    }
    t.throws(() => load({ SINK_HTTP_ADDRESS: good, SINK_HTTP_CLIENT_CERT: client.certFile }), {
      message: /`SINK_HTTP_CLIENT_CERT` and `SINK_HTTP_CLIENT_KEY` to be set both/u,
    });
    t.throws(
      () =>
        load({ SINK_HTTP_ADDRESS: good, SINK_HTTP_CLIENT_CERT: client.certFile, SINK_HTTP_CLIENT_KEY: other.keyFile }),
      { message: /to be that of the certificate/u },
    );
    t.throws(() => load({ SINK_HTTP_ADDRESS: good, SINK_HTTP_CACERT: client.keyFile }), {
      message: /`SINK_HTTP_CACERT` to hold at least one certificate/u,
    });
  },
);

interface Proxy {
  readonly url: string;
  readonly asked: string[];
}

/** Takes CONNECT with the user ann and leads to `port`, whatever name was asked for. */
async function startProxy(t: Test, port: number): Promise<Proxy> {
  const asked: string[] = [];
  const server = createServer();
  server.on('connect', (request, socket) => {
    asked.push(request.url ?? '');
    if (request.headers['proxy-authorization'] !== `Basic ${Buffer.from('ann:pr0xy-secret').toString('base64')}`) {
      socket.end('HTTP/1.1 407 Proxy Authentication Required\r\n\r\n');
      return;
    }
    const upstream = connect(port, '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n');
    });
    upstream.pipe(socket).pipe(upstream);
    for (const each of [socket, upstream])
      each.on('error', () => {
        upstream.destroy();
        socket.destroy();
      });
  });
  return { url: `127.0.0.1:${String(await listen(t, server))}`, asked };
}

/** TLS in front of what listens on `port`. */
function createTlsPipe(options: TlsOptions, port: number): Server {
  return createTlsListener(options, (socket) => {
    const upstream = connect(port, '127.0.0.1');
    upstream.pipe(socket).pipe(upstream);
    for (const each of [socket, upstream])
      each.on('error', () => {
        upstream.destroy();
        socket.destroy();
      });
  });
}

void t.test(
  'a proxy of the settings or of the environment leads to the destination; NO_PROXY and this machine go without',
  async (t) => {
    const receiver = await startHttpReceiver(t);
    const proxy = await startProxy(t, receiver.port);
    const SINK_HTTP_ADDRESS = 'http://collector.internal.example/in';
    const withUser = `http://ann:pr0xy-secret@${proxy.url}`;

    t.equal(await failureOf(await open(t, { SINK_HTTP_ADDRESS, SINK_HTTP_PROXY: withUser })), 'taken');
    t.same(proxy.asked, ['collector.internal.example:80']);
    const refused = await failureOf(
      await open(t, { SINK_HTTP_ADDRESS, SINK_HTTP_PROXY: `http://ann:other-secret@${proxy.url}` }),
    );
    t.match(refused, /got 407 from the proxy of SINK_HTTP_PROXY; put its user and password there/u);
    t.notMatch(refused, /other-secret/u);

    const environment = { HTTP_PROXY: withUser };
    t.equal(await failureOf(await open(t, { SINK_HTTP_ADDRESS, ...environment })), 'taken');
    const loki = lokiSink.create(
      loadConfig(lokiSink.settings, {
        env: { SINK_LOKI_ADDRESS: 'http://loki.internal.example:3100', ...environment },
      }),
      { log: testLog(), name: 'loki' },
    );
    t.teardown(() => loki.close());
    await loki.connect(never);
    await loki.write([makeSinkMessage(1)], never);
    t.equal(proxy.asked.at(-1), 'loki.internal.example:3100');

    const before = proxy.asked.length;
    t.equal(
      await failureOf(await open(t, { SINK_HTTP_ADDRESS: receiver.url, ...environment })),
      'taken',
      'this machine',
    );
    t.not(
      await failureOf(await open(t, { SINK_HTTP_ADDRESS, ...environment, no_proxy: '.internal.example' })),
      'taken',
    );
    t.equal(proxy.asked.length, before);
  },
);

void t.test(
  'a tunnel carries TLS to the destination, and to the proxy itself; what refuses is named',
  { skip: withoutOpenssl },
  async (t) => {
    const folder = testFolder(t, {});
    const authority = makeAuthority(folder, 'authority');
    const { key, cert } = makeCertificate(folder, 'server', authority, ['DNS:collector.example', 'IP:127.0.0.1']);
    const destination = await listen(
      t,
      createTlsServer({ key, cert }, (request, response) => {
        request.resume().once('end', () => {
          response.end();
        });
      }),
    );
    const proxy = await startProxy(t, destination);
    const front = await listen(t, createTlsPipe({ key, cert }, Number(proxy.url.split(':')[1])));
    const own = { SINK_HTTP_ADDRESS: 'https://collector.example/in', SINK_HTTP_CACERT: authority.certFile };

    t.equal(await failureOf(await open(t, { ...own, HTTPS_PROXY: `http://ann:pr0xy-secret@${proxy.url}` })), 'taken');
    t.equal(
      await failureOf(await open(t, { ...own, https_proxy: `https://ann:pr0xy-secret@127.0.0.1:${String(front)}` })),
      'taken',
    );
    t.same(proxy.asked, ['collector.example:443', 'collector.example:443']);
    t.match(
      await failureOf(
        await open(t, {
          ...own,
          SINK_HTTP_ADDRESS: 'https://other.example',
          HTTPS_PROXY: `ann:pr0xy-secret@${proxy.url}`,
        }),
      ),
      /certificate is for other names/u,
    );
    t.match(await failureOf(await open(t, { ...own, HTTPS_PROXY: 'http://127.0.0.1:1' })), /got ECONNREFUSED/u);
    const rude = await listen(
      t,
      createPipe((socket) => {
        socket.end('SSH-2.0-OpenSSH_9.2\r\n\r\n');
      }),
    );
    t.match(
      await failureOf(await open(t, { ...own, HTTPS_PROXY: `http://127.0.0.1:${String(rude)}` })),
      /a way to collector\.example:443, got something that is no HTTP from the proxy of HTTPS_PROXY/u,
    );
  },
);

void t.test('every sink that speaks HTTP has these settings, and a secret that is none is not shown', (t) => {
  for (const type of ['http', 'loki', 'slack', 'pagerduty']) {
    for (const ending of ['CACERT', 'CLIENT_CERT', 'CLIENT_KEY', 'TLS_SERVER_NAME', 'SKIP_VERIFY', 'PROXY'])
      t.ok(`SINK_${type.toUpperCase()}_${ending}` in (findSink(type)?.settings ?? {}), `${type} ${ending}`);
  }
  for (const wrong of ['whsec_c2hvcnQ=', 'not base64 at all!', `${secret},x`, 'whsec_']) {
    const error = ((): string => {
      try {
        load({ SINK_HTTP_ADDRESS: 'http://x/', SINK_HTTP_SIGNING_SECRET: wrong });
        return '';
      } catch (thrown) {
        return describeError(thrown);
      }
    })();
    t.match(error, /^Expected `SINK_HTTP_SIGNING_SECRET` to be `whsec_` and 24 to 64 random bytes/u);
    t.notMatch(error, /c2hvcnQ|at all|\bBwcH/u);
  }
  t.end();
});
