import { sinkContract, makeSinkMessage, type SinkFixture } from '@hydrant/shared/delivery/sink-contract';
import type { Sink } from '@hydrant/shared/delivery/sink';
import { loadConfig } from '@hydrant/shared/runtime/config/load-config';
import * as certificates from '@hydrant/testing/certificates';
import { eventually } from '@hydrant/testing/eventually';
import { startFaultProxy } from '@hydrant/testing/fault-proxy';
import { findFreePorts } from '@hydrant/testing/free-ports';
import { makePrivateFolder, removePrivateFolder } from '@hydrant/testing/private-folder';
import { PrivateProcess } from '@hydrant/testing/private-process';
import { testFolder } from '@hydrant/testing/test-folder';
import { testLog } from '@hydrant/testing/test-log';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { createServer as createTlsServer } from 'node:tls';
import t, { type Test } from 'tap';
import { parseAddress } from '@hydrant/shared/foundation/host-port';
import { countOctets, toRfc5424 } from './syslog/format.ts';
import { findTooLong, syslogSink } from './syslog.ts';

const never = new AbortController().signal;
const rsyslogd = ['/usr/sbin/rsyslogd', '/usr/bin/rsyslogd'].find((path) => existsSync(path));
const hasOpenssl = spawnSync('openssl', ['version']).status === 0;

function load(env: Record<string, string>) {
  return loadConfig(syslogSink.settings, {
    env,
    check: (values) => syslogSink.check?.(values as Parameters<NonNullable<typeof syslogSink.check>>[0]) ?? [],
  });
}

function createSink(env: Record<string, string>): Sink {
  return syslogSink.create(load(env), { log: testLog(), name: 'syslog' });
}

/** Reads octet-counted messages as RFC 6587 has them and closes when the client has ended. */
class StreamServer {
  readonly messages: string[] = [];
  mode: 'take' | 'reset' | 'hang' = 'take';

  readonly accept = (socket: Socket): void => {
    const parts: Buffer[] = [];
    socket.on('error', () => undefined);
    if (this.mode === 'reset') socket.destroy();
    if (this.mode !== 'take') return;
    socket.on('data', (bytes: Buffer) => parts.push(bytes));
    socket.once('end', () => {
      this.#parse(Buffer.concat(parts));
      socket.end();
    });
  };

  #parse(bytes: Buffer): void {
    for (let at = 0; at < bytes.length;) {
      const blank = bytes.indexOf(' ', at);
      const end = blank + 1 + Number(bytes.toString('latin1', at, blank));
      this.messages.push(bytes.toString('utf8', blank + 1, end));
      at = end;
    }
  }

  fixture(sink: Sink): SinkFixture {
    return {
      sink,
      arrived: () => this.messages.map(bodyOf),
      breakDown: () => {
        this.mode = 'reset';
      },
      mend: () => {
        this.mode = 'take';
      },
      stall: () => {
        this.mode = 'hang';
      },
    };
  }
}

/** Behind the seven fields of the header. */
function bodyOf(message: string): string {
  return /^<13>1 \S+ \S+ \S+ \d+ \S+ - (.*)$/su.exec(message)?.[1] ?? `not RFC 5424: ${message}`;
}

async function listen(t: Test, server: Server, path?: string): Promise<number> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => sockets.add(socket));
  await new Promise<void>((resolve) => {
    if (path === undefined) server.listen(0, '127.0.0.1', resolve);
    else server.listen(path, resolve);
  });
  t.teardown(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return path === undefined ? (server.address() as AddressInfo).port : 0;
}

/** Of a socket that is not there yet; n.b. such a path has at most 107 bytes. */
async function socketPath(t: Test): Promise<string> {
  const folder = await makePrivateFolder('syslog');
  t.teardown(() => removePrivateFolder(folder));
  return join(folder, 'socket');
}

const neverRefused = {
  refuse: 'a syslog server has no answer to refuse with',
  refuseOne: 'as above; messages that are too long have a test of their own',
};

sinkContract(t, {
  name: 'syslog tcp',
  without: neverRefused,
  async create(t) {
    const server = new StreamServer();
    const port = await listen(t, createServer({ allowHalfOpen: true }, server.accept));
    return server.fixture(createSink({ SINK_SYSLOG_PROTO: 'tcp', SINK_SYSLOG_ADDR: `127.0.0.1:${String(port)}` }));
  },
});

sinkContract(t, {
  name: 'syslog unix',
  without: neverRefused,
  async create(t) {
    const server = new StreamServer();
    const path = await socketPath(t);
    await listen(t, createServer({ allowHalfOpen: true }, server.accept), path);
    return server.fixture(createSink({ SINK_SYSLOG_PROTO: 'unix', SINK_SYSLOG_ADDR: path }));
  },
});

function makeCertificate(folder: string): { readonly key: string; readonly cert: string } {
  const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
  execFileSync(
    'openssl',
    [
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:prime256v1',
      '-nodes',
      '-keyout',
      key,
      '-out',
      cert,
      '-days',
      '1',
      '-subj',
      '/CN=localhost',
      '-addext',
      'subjectAltName=DNS:localhost',
    ],
    { stdio: 'ignore' },
  );
  return { key, cert };
}

async function startTls(t: Test, server: StreamServer): Promise<{ readonly port: number; readonly cert: string }> {
  const { key, cert } = makeCertificate(testFolder(t));
  const port = await listen(
    t,
    createTlsServer({ key: await readFile(key), cert: await readFile(cert), allowHalfOpen: true }, server.accept),
  );
  return { port, cert };
}

if (hasOpenssl) {
  sinkContract(t, {
    name: 'syslog tls',
    without: neverRefused,
    async create(t) {
      const server = new StreamServer();
      const { port, cert } = await startTls(t, server);
      return server.fixture(
        createSink({
          SINK_SYSLOG_PROTO: 'tls',
          SINK_SYSLOG_ADDR: `localhost:${String(port)}`,
          SINK_SYSLOG_CA_CERT_PATH: cert,
        }),
      );
    },
  });
}

void t.test(
  'a server whose certificate nobody vouches for gets nothing',
  { skip: hasOpenssl ? false : 'openssl is not installed' },
  async (t) => {
    const server = new StreamServer();
    const { port } = await startTls(t, server);
    const sink = createSink({ SINK_SYSLOG_PROTO: 'tls', SINK_SYSLOG_ADDR: `localhost:${String(port)}` });

    await t.rejects(sink.write([makeSinkMessage(1)], never), {
      code: 'sink-retryable',
      message: /DEPTH_ZERO_SELF_SIGNED_CERT/u,
    });
    t.same(server.messages, []);
  },
);

void t.test(
  'a certificate that has expired, or is of another authority or name, is named and waited for',
  { skip: certificates.withoutOpenssl },
  async (t) => {
    const folder = testFolder(t);
    const authority = certificates.makeAuthority(folder, 'authority');
    const other = certificates.makeAuthority(folder, 'other');
    const cases: readonly (readonly [days: number, name: string, ca: string, RegExp])[] = [
      [-1, 'DNS:localhost', authority.certFile, /got CERT_HAS_EXPIRED/u],
      [2, 'DNS:elsewhere.example', authority.certFile, /got ERR_TLS_CERT_ALTNAME_INVALID/u],
      [2, 'DNS:localhost', other.certFile, /got UNABLE_TO_VERIFY_LEAF_SIGNATURE/u],
    ];
    for (const [days, name, ca, message] of cases) {
      const server = new StreamServer();
      const { key, cert } = certificates.makeCertificate(folder, 'server', authority, [name], days);
      const port = await listen(t, createTlsServer({ key, cert, allowHalfOpen: true }, server.accept));
      const sink = createSink({
        SINK_SYSLOG_PROTO: 'tls',
        SINK_SYSLOG_ADDR: `localhost:${String(port)}`,
        SINK_SYSLOG_CA_CERT_PATH: ca,
      });

      await t.rejects(sink.write([makeSinkMessage(1)], never), { code: 'sink-retryable', message });
      await t.rejects(sink.healthcheck(never), { code: 'sink-retryable', message });
      t.same(server.messages, []);
    }
  },
);

void t.test('a server that closes in the middle has not taken the batch', async (t) => {
  const server = createServer((socket) => {
    socket.once('data', () => {
      socket.destroy();
    });
  });
  const port = await listen(t, server);
  const sink = createSink({ SINK_SYSLOG_PROTO: 'tcp', SINK_SYSLOG_ADDR: `127.0.0.1:${String(port)}` });

  const large = Array.from({ length: 200 }, (_, n) =>
    makeSinkMessage(n, { body: Buffer.from(`{"text":"${'x'.repeat(50_000)}"}`) }),
  );
  await t.rejects(sink.write(large, never), { code: 'sink-retryable' });
});

/** A real rsyslogd that listens on every way and writes what it understood, a line each. */
async function startRsyslogd(t: Test) {
  const folder = await makePrivateFolder('rsyslog');
  const [port] = (await findFreePorts(1)) as [number];
  const [config, file, socket] = [join(folder, 'rsyslog.conf'), join(folder, 'messages'), join(folder, 'log')];
  await writeFile(
    config,
    `
    global(maxMessageSize="256k" workDirectory="${folder}")
    module(load="imtcp") module(load="imudp") module(load="imuxsock" SysSock.Use="off")
    input(type="imtcp" port="${String(port)}" address="127.0.0.1")
    input(type="imudp" port="${String(port)}" address="127.0.0.1")
    input(type="imuxsock" Socket="${socket}")
    template(name="fields" type="string" string="%pri%|%protocol-version%|%app-name%|%procid%|%msgid%|%msg%\\n")
    action(type="omfile" file="${file}" template="fields" asyncWriting="off" flushOnTXEnd="on")
  `,
  );
  const server = new PrivateProcess({
    name: 'rsyslogd',
    command: rsyslogd ?? '',
    args: ['-n', '-f', config, '-i', join(folder, 'pid')],
    env: { PATH: process.env['PATH'] ?? '' },
    folder,
    logFile: join(folder, 'server.log'),
    isReady: () => Promise.resolve(existsSync(socket)),
    readyTimeoutMs: 10_000,
    pollMs: 20,
  });
  await server.start();
  t.teardown(async () => {
    await server.kill();
    await removePrivateFolder(folder);
  });
  const lines = async (): Promise<readonly string[]> =>
    (await readFile(file, 'utf8').catch(() => '')).split('\n').slice(0, -1);
  return {
    port,
    socket,
    lines,
    /** When nothing more comes. */
    async bodies(): Promise<readonly string[]> {
      let before = -1;
      await eventually(async () => {
        const isQuiet = before > 0 && before === (await lines()).length;
        before = (await lines()).length;
        return isQuiet;
      });
      return (await lines()).map((line) => line.split('|').slice(5).join('|').trimStart());
    },
  };
}

const ways: Readonly<
  Record<string, (server: { readonly port: number; readonly socket: string }) => Record<string, string>>
> = {
  tcp: ({ port }) => ({ SINK_SYSLOG_PROTO: 'tcp', SINK_SYSLOG_ADDR: `127.0.0.1:${String(port)}` }),
  udp: ({ port }) => ({ SINK_SYSLOG_PROTO: 'udp', SINK_SYSLOG_ADDR: `127.0.0.1:${String(port)}` }),
  local: ({ socket }) => ({ SINK_SYSLOG_ADDR: socket }),
};
const silent = 'nobody knows of a datagram whether it arrived';

if (rsyslogd === undefined) {
  void t.test('rsyslogd understands every way', { skip: 'rsyslogd is not installed' }, () => undefined);
} else {
  for (const [way, env] of Object.entries(ways)) {
    sinkContract(t, {
      name: `syslog ${way} to rsyslogd`,
      without: { ...neverRefused, ...(way === 'tcp' ? {} : { breakDown: silent, stall: silent }) },
      async create(t) {
        const server = await startRsyslogd(t);
        const proxy = await startFaultProxy(t, { targetPort: server.port });
        const port = way === 'tcp' ? proxy.port : server.port;
        return {
          sink: createSink(env({ ...server, port })),
          arrived: server.bodies,
          breakDown: () => {
            proxy.cut();
          },
          mend: () => {
            proxy.restore();
          },
          stall: () => {
            proxy.blackHole();
          },
        };
      },
    });
  }

  void t.test('rsyslogd reads who says what', async (t) => {
    const server = await startRsyslogd(t);
    const long = makeSinkMessage(2, { body: Buffer.from(`{"text":"${'x'.repeat(60_000)}"}`) });
    for (const env of Object.values(ways)) {
      const sink = createSink({ SINK_SYSLOG_TAG: 'hydrant', ...env(server) });
      await sink.connect(never);
      await sink.write([makeSinkMessage(1), long], never);
    }
    const bodies = await server.bodies();

    t.same(
      bodies,
      [1, 2, 3].flatMap(() => [makeSinkMessage(1).body.toString(), long.body.toString()]),
    );
    const heads = (await server.lines()).map((line) => line.split('|').slice(0, 5).join('|'));
    const head = `13|1|hydrant|${String(process.pid)}|Allocation.AllocationUpdated`;
    t.same(heads.slice(0, 4), [head, head, head, head]);
    t.match(heads[4], `13|0|hydrant|${String(process.pid)}|`);
  });

  void t.test('a local socket that nobody reads is worth another try', async (t) => {
    const sink = createSink({ SINK_SYSLOG_ADDR: await socketPath(t) });
    await sink.connect(never);
    await t.rejects(sink.write([makeSinkMessage(1)], never), { code: 'sink-retryable', message: /No such file/u });
  });
}

void t.test('a message that is too long is named and not sent, the others are taken', async (t) => {
  const server = new StreamServer();
  const port = await listen(t, createServer({ allowHalfOpen: true }, server.accept));
  const sink = createSink({
    SINK_SYSLOG_PROTO: 'tcp',
    SINK_SYSLOG_ADDR: `127.0.0.1:${String(port)}`,
    SINK_SYSLOG_MAX_MESSAGE: '1KiB',
  });
  const long = makeSinkMessage(2, { body: Buffer.from(`{"text":"${'x'.repeat(1024)}"}`) });

  await t.rejects(sink.write([makeSinkMessage(1), long, makeSinkMessage(3)], never), {
    code: 'sink-partial',
    failures: [{ index: 1, retryable: false, reason: /SINK_SYSLOG_MAX_MESSAGE/u }],
  });
  t.equal(server.messages.length, 2);
  t.same(
    findTooLong([10, 11, 12], 11).map(({ index }) => index),
    [2],
  );
});

void t.test('a header holds what may stand there', (t) => {
  const origin = { host: 'vm 1', tag: 'hydrant', pid: 7 };
  const head = (message: Parameters<typeof makeSinkMessage>[1], changes = {}): string =>
    toRfc5424(makeSinkMessage(1, { body: Buffer.from('{}'), ...message }), { ...origin, ...changes }).toString();
  t.equal(head({}), '<13>1 2026-05-06T07:08:09.000Z vm_1 hydrant 7 Allocation.AllocationUpdated - {}');
  t.equal(
    head({ type: '', timestampMs: 1e300, body: Buffer.from('{\n}') }, { host: '', tag: 'x'.repeat(60) }),
    `<13>1 - - ${'x'.repeat(48)} 7 - - { }`,
  );
  t.equal(
    head({ type: `crash\n<13>${'y'.repeat(40)}` }),
    `<13>1 2026-05-06T07:08:09.000Z vm_1 hydrant 7 crash_<13>${'y'.repeat(22)} - {}`,
  );
  t.equal(countOctets(Buffer.from('ä')).toString(), '2 ä');
  t.end();
});

void t.test('settings that cannot work are refused', (t) => {
  const addresses: readonly (readonly [string, object | undefined])[] = [
    ['a:1', { host: 'a', port: 1 }],
    ['[::1]:514', { host: '::1', port: 514 }],
    ['a', undefined],
    ['a:0', undefined],
    ['a:65536', undefined],
    ['::1:514', undefined],
  ];
  for (const [address, expected] of addresses) t.same(parseAddress(address), expected);
  const cases: readonly (readonly [Record<string, string>, RegExp])[] = [
    [{ SINK_SYSLOG_PROTO: 'tcp' }, /`SINK_SYSLOG_ADDR` to be `host:port`/u],
    [{ SINK_SYSLOG_PROTO: 'unix', SINK_SYSLOG_ADDR: 'a:1' }, /path of a socket/u],
    [{ SINK_SYSLOG_ADDR: 'a:1' }, /`SINK_SYSLOG_PROTO` to be set/u],
    [{ SINK_SYSLOG_PROTO: 'tcp', SINK_SYSLOG_ADDR: 'a:1', SINK_SYSLOG_CA_CERT_PATH: '/ca' }, /SINK_SYSLOG_PROTO=tls/u],
  ];
  for (const [env, message] of cases) t.throws(() => load(env), { message });
  t.doesNotThrow(() => load({}));
  t.end();
});
