import { jetstreamManager, DiscardPolicy, type JetStreamManager, type StreamConfig } from '@nats-io/jetstream';
import { connect as connectNats, nkeys, type MsgHdrs } from '@nats-io/transport-node';
import { sinkContract, makeSinkMessage } from '@hydrant/shared/delivery/sink-contract';
import type { Sink, SinkPartialError } from '@hydrant/shared/delivery/sink';
import { describeError, errorCode } from '@hydrant/shared/foundation/errors';
import type { Message } from '@hydrant/shared/messages/message';
import { loadConfig } from '@hydrant/shared/runtime/config/load-config';
import { makeAuthority, makeCertificate, withoutOpenssl } from '@hydrant/testing/certificates';
import { eventually } from '@hydrant/testing/eventually';
import { startFaultProxy } from '@hydrant/testing/fault-proxy';
import { findFreePorts } from '@hydrant/testing/free-ports';
import { startPrivateNats, withoutNatsServer, type PrivateNats } from '@hydrant/testing/private-nats';
import { testFolder } from '@hydrant/testing/test-folder';
import { testLog } from '@hydrant/testing/test-log';
import { writeFileSync } from 'node:fs';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { judgeFailure, makeFilter, makeHeaders, makeSubject, natsSink } from './nats.ts';
import { tlsContract } from './tls-contract.ts';

type Env = Readonly<Record<string, string>>;

const never = new AbortController().signal;

function bodyOf({ body }: Message): string {
  return body.toString();
}

function load(env: Env) {
  return loadConfig(natsSink.settings, {
    env: { SINK_NATS_SERVERS: 'nats://127.0.0.1:4222', ...env },
    check: (values) => natsSink.check?.(values as Parameters<NonNullable<typeof natsSink.check>>[0]) ?? [],
  });
}

function createSink(t: Test, url: string, env: Env = {}): Sink {
  const sink = natsSink.create(load({ SINK_NATS_SERVERS: url, ...env }), { log: testLog(), name: 'nats' });
  t.teardown(() => sink.close());
  return sink;
}

async function openSink(t: Test, url: string, env: Env = {}): Promise<Sink> {
  const sink = createSink(t, url, env);
  await sink.connect(never);
  return sink;
}

async function manage(
  t: Test,
  url: string,
  login: { readonly user?: string; readonly pass?: string } = {},
): Promise<JetStreamManager> {
  const nats = await connectNats({ servers: url, ...login });
  t.teardown(() => nats.close());
  return jetstreamManager(nats);
}

/** A server with a stream for what the sink publishes by default. */
async function startStream(
  t: Test,
  { stream, config = [] }: { readonly stream?: Partial<StreamConfig>; readonly config?: readonly string[] } = {},
) {
  const server = await startPrivateNats(t, { config });
  const manager = await manage(t, server.url);
  await manager.streams.add({ name: 'NOMAD', subjects: ['nomad.>'], ...stream });
  return {
    server,
    manager,
    update: (changes: Partial<StreamConfig>) => manager.streams.update('NOMAD', changes),
    read: () => readStream(manager),
  };
}

async function readStream(
  manager: JetStreamManager,
): Promise<readonly { readonly subject: string; readonly body: string; readonly headers: MsgHdrs }[]> {
  const { state } = await manager.streams.info('NOMAD');
  const stored = await Promise.all(
    Array.from({ length: state.messages }, (_, n) => manager.streams.getMessage('NOMAD', { seq: state.first_seq + n })),
  );
  return stored.flatMap((message) =>
    message === null
      ? []
      : [{ subject: message.subject, body: Buffer.from(message.data).toString(), headers: message.header }],
  );
}

function failuresOf(writing: Promise<void>): Promise<SinkPartialError['failures']> {
  return writing.then(
    () => [],
    (thrown: unknown) => {
      if (errorCode(thrown) !== 'sink-partial') throw thrown;
      return (thrown as SinkPartialError).failures;
    },
  );
}

if (withoutNatsServer === false) {
  sinkContract(t, {
    name: 'nats',
    without: {
      refuseOne:
        'a stream refuses a message for its length alone, and these have the same; those that are too long have a test of their own',
    },
    async create(t) {
      const { server, update, read } = await startStream(t);
      const proxy = await startFaultProxy(t, { targetPort: server.port });
      return {
        sink: createSink(t, `nats://127.0.0.1:${String(proxy.port)}`),
        arrived: async () => (await read()).map(({ body }) => body),
        breakDown: () => {
          proxy.cut();
        },
        async mend() {
          proxy.restore();
          await update({ max_msg_size: -1 });
        },
        stall: () => {
          proxy.blackHole();
        },
        refuse: async () => {
          await update({ max_msg_size: 1 });
        },
      };
    },
  });

  void tlsContract(t, {
    type: 'nats',
    prefix: 'SINK_NATS',
    async start(t, { server: own, authority, client }) {
      const tls = `tls { cert_file: "${own.certFile}", key_file: "${own.keyFile}", ca_file: "${authority.certFile}", verify: true }`;
      const server = await startPrivateNats(t, { config: [tls, 'authorization { token: "hidden-word" }'] });
      const nats = await connectNats({
        servers: server.url,
        token: 'hidden-word',
        tls: {
          caFile: authority.certFile,
          certFile: client.certFile,
          keyFile: client.keyFile,
          servername: 'sink.internal',
        } as object,
      });
      t.teardown(() => nats.close());
      await (await jetstreamManager(nats)).streams.add({ name: 'NOMAD', subjects: ['nomad.>'] });
      return {
        env: { SINK_NATS_SERVERS: server.url.replace('nats:', 'tls:'), SINK_NATS_TOKEN: 'hidden-word' },
        secret: 'hidden-word',
      };
    },
  });
}
void t.test('on a server', { skip: withoutNatsServer }, async (t) => {
  await t.test(
    'a message has its id, its type and the headers that it came with, and a repeat is swallowed',
    async (t) => {
      const { server, read } = await startStream(t);
      const sink = await openSink(t, server.url);
      const crlf = makeSinkMessage(2, {
        id: 'a\r\nNats-Rollup: all',
        headers: { 'nats-rollup': 'all', 'a b': 1, cluster: 'x\ny' },
      });

      await sink.write([makeSinkMessage(1), crlf], never);
      await sink.write([makeSinkMessage(1), crlf], never);

      const [first, second, ...others] = await read();
      t.same(others, []);
      t.equal(first?.subject, 'nomad.event.Allocation.AllocationUpdated.default.web');
      t.same(Object.fromEntries(first?.headers ?? []), {
        'Nats-Msg-Id': [makeSinkMessage(1).id],
        type: ['nomad.Allocation.AllocationUpdated'],
        'content-type': ['application/json'],
        'app-id': ['hydrant-firehose'],
        cluster: ['default'],
        index: ['1'],
      });
      t.match(Object.fromEntries(second?.headers ?? []), {
        'Nats-Msg-Id': ['a%0D%0ANats-Rollup: all'],
        cluster: ['x%0Ay'],
      });
    },
  );

  await t.test(
    'without a stream for the subject messages wait, and what to do is said; the others are taken',
    async (t) => {
      const { server, update, read } = await startStream(t, { stream: { subjects: ['nomad.one.>'] } });
      const sink = await openSink(t, server.url, { SINK_NATS_SUBJECT: 'nomad.{namespace}.{job}' });
      const [one, two] = ['one', 'two'].map((name, n) =>
        makeSinkMessage(n, { routingKey: `event.Job.JobRegistered.${name}.web` }),
      ) as [Message, Message];

      t.match(await failuresOf(sink.write([one, two], never)), [
        { index: 1, retryable: true, reason: /to take nomad\.two\.web, none does: .*nats stream add .*'nomad\.>'/u },
      ]);
      await t.resolves(sink.healthcheck(never), 'some may be taken');
      await update({ subjects: ['elsewhere'] });
      await t.rejects(sink.healthcheck(never), {
        code: 'sink-retryable',
        message: /nomad\.\*\.\*, none does: .*nats stream add/u,
      });
      t.same(
        (await read()).map(({ subject }) => subject),
        ['nomad.one.web'],
      );
    },
  );

  await t.test(
    'a server without JetStream, and another stream than the expected one, are told of as such',
    async (t) => {
      const { server, update, read } = await startStream(t);
      const sink = await openSink(t, server.url, { SINK_NATS_STREAM: 'OTHER' });
      t.match(await failuresOf(sink.write([makeSinkMessage(1)], never)), [
        { retryable: true, reason: /10060.*SINK_NATS_STREAM/u },
      ]);
      await t.rejects(sink.healthcheck(never), {
        code: 'sink-retryable',
        message: /the stream OTHER \(SINK_NATS_STREAM\) to take nomad\.>, got NOMAD/u,
      });
      t.same(await read(), []);

      const good = await openSink(t, server.url, { SINK_NATS_STREAM: 'NOMAD' });
      await t.resolves(good.healthcheck(never));
      await t.resolves(good.write([makeSinkMessage(1)], never));
      await update({ subjects: ['elsewhere'] });

      const plain = await startPrivateNats(t, {
        config: ['accounts { plain { users: [{ user: a, password: b }] } }', 'no_auth_user: a'],
      });
      await t.rejects((await openSink(t, plain.url)).healthcheck(never), {
        code: 'sink-retryable',
        message: /10039: JetStream is off for the account/u,
      });
    },
  );

  await t.test('messages that are too long are named, and the others are taken', async (t) => {
    const { server, update, read } = await startStream(t, { config: ['max_payload: 4096'] });
    const sink = await openSink(t, server.url);
    await update({ max_msg_size: 2048 });
    const [small, forServer, forStream] = [1, 5000, 3000].map((length, n) =>
      makeSinkMessage(n, { body: Buffer.alloc(length, 'x') }),
    ) as [Message, Message, Message];
    const last = makeSinkMessage(4);

    t.match(await failuresOf(sink.write([small, forServer, forStream, last], never)), [
      {
        index: 1,
        retryable: false,
        reason: /at most 4096 bytes with its headers \(max_payload of the server\), got 5\d{3}/u,
      },
      { index: 2, retryable: false, reason: /10054.*max_msg_size/u },
    ]);
    t.same((await read()).map(({ body }) => body).sort(), [small, last].map(bodyOf).sort());
  });

  await t.test('a message that fits exactly is sent', async (t) => {
    const { server, read } = await startStream(t, { config: ['max_payload: 4096'] });
    const sink = await openSink(t, server.url);
    const lengthOf = async (body: Buffer): Promise<string> =>
      (await failuresOf(sink.write([makeSinkMessage(1, { body })], never)))[0]?.reason ?? '';
    const tooMuch = Number(/got (\d+)$/u.exec(await lengthOf(Buffer.alloc(5000)))?.[1]) - 4096;

    t.equal(await lengthOf(Buffer.alloc(5000 - tooMuch)), '');
    t.match(await lengthOf(Buffer.alloc(5001 - tooMuch)), /got 4097$/u);
    t.equal((await read()).length, 1);
  });

  await t.test('a stream that is full waits for room', async (t) => {
    const { server, manager, read } = await startStream(t, { stream: { max_msgs: 1, discard: DiscardPolicy.New } });
    const sink = await openSink(t, server.url);

    t.match(await failuresOf(sink.write([makeSinkMessage(1), makeSinkMessage(2)], never)), [
      { index: 1, retryable: true, isDoubtful: false, reason: /maximum messages exceeded \(10077: make room/u },
    ]);
    await manager.streams.purge('NOMAD');
    await sink.write([makeSinkMessage(2)], never);

    t.same(
      (await read()).map(({ body }) => body),
      [bodyOf(makeSinkMessage(2))],
    );
  });

  await t.test('one of several servers will do, and a server that comes back is found again', async (t) => {
    const { server } = await startStream(t);
    const [nobody] = await findFreePorts(1);
    for (let time = 0; time < 4; time += 1)
      await t.resolves(openSink(t, `nats://127.0.0.1:${String(nobody)},${server.url}`));
    const sink = await openSink(t, server.url);

    await server.kill();
    await t.rejects(sink.healthcheck(never), { code: 'sink-retryable' });
    await t.rejects(sink.write([makeSinkMessage(1)], never), {
      code: 'sink-retryable',
      message: new RegExp(`at ${new URL(server.url).host} to let us in`, 'u'),
    });
    await server.start();
    await eventually(() => sink.write([makeSinkMessage(1)], never).then(() => true));
  });

  await t.test('a login that is refused waits and says which settings', (t) => testLogins(t));
  await t.test('the credentials of a JWT user are taken, and read anew', (t) => testCredentials(t));
  await t.test(
    'by TLS an address is looked for in the certificate, and nothing goes to who speaks none',
    { skip: withoutOpenssl },
    (t) => testAddressByTls(t),
  );
});

async function testLogins(t: Test): Promise<void> {
  const rights = '{ publish: ["nomad.one.>"], subscribe: ["_INBOX.>"] }';
  const users = `{ user: admin, password: admin }, { user: ann, password: sesame, permissions: ${rights} }, { user: deaf, password: sesame, permissions: { publish: [">"], subscribe: ["x"] } }`;
  const server = await startPrivateNats(t, { config: [`accounts { all { jetstream: enabled, users: [${users}] } }`] });
  await (
    await manage(t, server.url, { user: 'admin', pass: 'admin' })
  ).streams.add({ name: 'NOMAD', subjects: ['nomad.>'] });
  const login = (user: string, password: string): Env => ({
    SINK_NATS_USER: user,
    SINK_NATS_PASSWORD: password,
    SINK_NATS_SUBJECT: 'nomad.{namespace}',
  });

  for (const env of [{}, login('ann', 'wrong-word'), { SINK_NATS_TOKEN: 'wrong-word' }]) {
    const said = await createSink(t, server.url, env)
      .connect(never)
      .then(() => 'let in', describeError);
    t.match(
      said,
      /Authorization Violation.*set SINK_NATS_USER and SINK_NATS_PASSWORD, SINK_NATS_TOKEN or SINK_NATS_CREDENTIALS_FILE/u,
    );
    t.notMatch(said, /wrong-word/u);
  }
  const ann = await openSink(t, server.url, login('ann', 'sesame'));
  const to = (namespace: string): Message =>
    makeSinkMessage(1, { routingKey: `event.Job.JobRegistered.${namespace}.web` });
  t.match(await failuresOf(ann.write([to('two')], never)), [
    { retryable: true, reason: /Permissions Violation.*nomad\.two.*rights to publish/u },
  ]);
  await t.resolves(ann.healthcheck(never), 'who may not ask may well be allowed to publish');
  const deaf = await openSink(t, server.url, login('deaf', 'sesame'));
  t.match(await failuresOf(deaf.write([to('one')], never)), [{ retryable: true, reason: /_INBOX/u }]);
}

/** As nsc makes them. */
function makeJwt(issuer: nkeys.KeyPair, subject: nkeys.KeyPair, nats: object): string {
  const encode = (part: object): string => Buffer.from(JSON.stringify(part)).toString('base64url');
  const signed = `${encode({ typ: 'JWT', alg: 'ed25519-nkey' })}.${encode({ jti: subject.getPublicKey(), iat: 1_700_000_000, iss: issuer.getPublicKey(), sub: subject.getPublicKey(), name: 'test', nats: { ...nats, version: 2 } })}`;
  return `${signed}.${Buffer.from(issuer.sign(Buffer.from(signed))).toString('base64url')}`;
}

async function testCredentials(t: Test): Promise<void> {
  const [operator, system, account, user] = [
    nkeys.createOperator(),
    nkeys.createAccount(),
    nkeys.createAccount(),
    nkeys.createUser(),
  ];
  const limits = { subs: -1, data: -1, payload: -1, imports: -1, exports: -1, wildcards: true, conn: -1, leaf: -1 };
  const accounts = [
    makeJwt(operator, system, { type: 'account', limits }),
    makeJwt(operator, account, {
      type: 'account',
      limits: { ...limits, mem_storage: -1, disk_storage: -1, streams: -1, consumer: -1 },
    }),
  ];
  const jwt = makeJwt(account, user, { type: 'user', pub: {}, sub: {}, subs: -1, data: -1, payload: -1 });
  const preload = `resolver_preload { ${system.getPublicKey()}: "${accounts[0] ?? ''}", ${account.getPublicKey()}: "${accounts[1] ?? ''}" }`;
  const server = await startPrivateNats(t, {
    config: [
      `operator: "${makeJwt(operator, operator, { type: 'operator' })}"`,
      `system_account: ${system.getPublicKey()}`,
      'resolver: MEMORY',
      preload,
    ],
  });
  const seed = Buffer.from(user.getSeed()).toString();
  const file = join(testFolder(t, {}), 'user.creds');
  const sink = createSink(t, server.url, { SINK_NATS_CREDENTIALS_FILE: file });

  await t.rejects(sink.connect(never), {
    code: 'sink-retryable',
    message: /SINK_NATS_CREDENTIALS_FILE.*ENOENT in .*user\.creds/u,
  });
  for (const broken of [
    '',
    `-----BEGIN NATS USER JWT-----\n${jwt}\n------END NATS USER JWT------\n`,
    `-----BEGIN A-----\n${jwt}\n------END A------\n-----BEGIN B-----\n${seed.slice(0, -4)}AAAA\n------END B------\n`,
  ]) {
    writeFileSync(file, broken);
    const said = await sink.connect(never).then(() => 'let in', describeError);
    t.match(said, /SINK_NATS_CREDENTIALS_FILE.*as nsc writes it, got (?:something else|nkeys: invalid checksum) in/u);
    t.notOk(said.includes(seed));
  }
  for (const end of ['\n', '\r\n']) {
    writeFileSync(
      file,
      [
        '-----BEGIN NATS USER JWT-----',
        jwt,
        '------END NATS USER JWT------',
        '',
        '-----BEGIN USER NKEY SEED-----',
        seed,
        '------END USER NKEY SEED------',
        '',
      ].join(end),
    );
    await t.resolves(createSink(t, server.url, { SINK_NATS_CREDENTIALS_FILE: file }).connect(never));
  }
  await t.resolves(sink.connect(never));
  t.match(await failuresOf(sink.write([makeSinkMessage(1)], never)), [{ retryable: true, reason: /nats stream add/u }]);
}

async function testAddressByTls(t: Test): Promise<void> {
  const folder = testFolder(t, {});
  const authority = makeAuthority(folder, 'authority');
  const start = (name: string, names: readonly string[]): Promise<PrivateNats> => {
    const { certFile, keyFile } = makeCertificate(folder, name, authority, names);
    return startPrivateNats(t, { config: [`tls { cert_file: "${certFile}", key_file: "${keyFile}" }`] });
  };
  const [own, other, plain] = [
    await start('own', ['IP:127.0.0.1']),
    await start('other', ['DNS:localhost', 'IP:127.0.0.2']),
    await startPrivateNats(t),
  ];
  const env = { SINK_NATS_CACERT: authority.certFile };

  await t.resolves(openSink(t, own.url.replace('nats:', 'tls:'), env));
  await t.resolves(openSink(t, own.url, env));
  await t.rejects(createSink(t, other.url, env).connect(never), {
    code: 'sink-retryable',
    message: /for other names/u,
  });
  await t.rejects(createSink(t, own.url).connect(never), { code: 'sink-retryable', message: /certificate/u });
  await t.rejects(createSink(t, plain.url, env).connect(never), {
    code: 'sink-retryable',
    message: /does not support 'tls'/u,
  });
  await t.rejects(createSink(t, plain.url.replace('nats:', 'tls:')).connect(never), {
    code: 'sink-retryable',
    message: /does not support 'tls'/u,
  });
}

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

const batch = Array.from({ length: 300 }, (_, n) => makeSinkMessage(n));
const taken = '{"stream":"NOMAD","seq":1}';

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
