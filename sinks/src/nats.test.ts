import { jetstreamManager, DiscardPolicy, type JetStreamManager, type StreamConfig } from '@nats-io/jetstream';
import { connect as connectNats, type MsgHdrs } from '@nats-io/transport-node';
import { sinkContract, makeSinkMessage } from '@hydrant/shared/delivery/sink-contract';
import { describeError } from '@hydrant/shared/foundation/errors';
import type { Message } from '@hydrant/shared/messages/message';
import { makeAuthority, makeCertificate, withoutOpenssl } from '@hydrant/testing/certificates';
import { eventually } from '@hydrant/testing/eventually';
import { startFaultProxy } from '@hydrant/testing/fault-proxy';
import { findFreePorts } from '@hydrant/testing/free-ports';
import { startPrivateNats, withoutNatsServer, type PrivateNats } from '@hydrant/testing/private-nats';
import { testFolder } from '@hydrant/testing/test-folder';
import t, { type Test } from 'tap';
import { tlsContract } from './tls-contract.ts';
import { type Env, createSink, failuresOf, never, openSink } from './nats-cases-contract.ts';
import { testCredentials } from './nats-credentials-contract.ts';

function bodyOf({ body }: Message): string {
  return body.toString();
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
