import { sinkContract, makeSinkMessage } from '@hydrant/shared/delivery/sink-contract';
import type { Sink } from '@hydrant/shared/delivery/sink';
import { loadConfig } from '@hydrant/shared/runtime/config/load-config';
import { eventually } from '@hydrant/testing/eventually';
import { startFaultProxy } from '@hydrant/testing/fault-proxy';
import { startPrivateRedis } from '@hydrant/testing/private-redis';
import { recordingLog, testLog } from '@hydrant/testing/test-log';
import { Redis } from 'ioredis';
import t, { type Test } from 'tap';
import { judgeReplies, makeCommands, redisSink } from './redis.ts';

const never = new AbortController().signal;
const key = 'nomad-events';

function createSink(url: string, env: Record<string, string> = {}): Sink {
  return redisSink.create(
    loadConfig(redisSink.settings, { env: { SINK_REDIS_URL: url, SINK_REDIS_KEY: key, ...env } }),
    { log: testLog(), name: 'redis' },
  );
}

async function open(t: Test, url: string, env: Record<string, string> = {}): Promise<Sink> {
  const sink = createSink(url, env);
  await sink.connect(never);
  t.teardown(() => sink.close());
  return sink;
}

function look(t: Test, url: string): Redis {
  const redis = new Redis(url);
  t.teardown(() => {
    redis.disconnect();
  });
  return redis;
}

const readers: Readonly<Record<string, (redis: Redis) => Promise<readonly string[]>>> = {
  list: (redis) => redis.lrange(key, 0, -1),
  stream: async (redis) =>
    (await redis.xrange(key, '-', '+')).map(([, fields]) => fields[fields.indexOf('body') + 1] ?? ''),
};

for (const [kind, read] of Object.entries(readers)) {
  sinkContract(t, {
    name: `redis ${kind}`,
    without: {
      refuse: 'Redis refuses no message for what it is; what it says of the key or of itself is mended there',
      refuseOne: 'as above',
    },
    async create(t) {
      const server = await startPrivateRedis(t);
      const proxy = await startFaultProxy(t, { targetPort: server.port });
      const redis = look(t, server.url);
      return {
        sink: createSink(`redis://127.0.0.1:${String(proxy.port)}/0`, { SINK_REDIS_KIND: kind }),
        arrived: () => read(redis),
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

void t.test('a stream entry carries id and type, and is found again by them', async (t) => {
  const server = await startPrivateRedis(t);
  const sink = await open(t, server.url, { SINK_REDIS_KIND: 'stream' });

  await sink.write([makeSinkMessage(1)], never);

  const [entry] = await look(t, server.url).xrange(key, '-', '+');
  t.same(entry?.[1], [
    'id',
    makeSinkMessage(1).id,
    'type',
    'nomad.Allocation.AllocationUpdated',
    'body',
    makeSinkMessage(1).body.toString(),
  ]);
});

void t.test('with a length older entries go, without one all stay', async (t) => {
  const server = await startPrivateRedis(t);
  const redis = look(t, server.url);
  const batch = Array.from({ length: 300 }, (_, n) => makeSinkMessage(n));

  for (const kind of ['list', 'stream']) {
    const kept = await open(t, server.url, { SINK_REDIS_KIND: kind, SINK_REDIS_KEY: `${kind}-kept` });
    const bounded = await open(t, server.url, {
      SINK_REDIS_KIND: kind,
      SINK_REDIS_KEY: `${kind}-bounded`,
      SINK_REDIS_MAX_LENGTH: '10',
    });
    await kept.write(batch, never);
    await bounded.write(batch, never);
  }

  t.equal(await redis.llen('list-kept'), 300);
  t.equal(await redis.xlen('stream-kept'), 300);
  t.same(
    (await redis.lrange('list-bounded', 0, -1)).map((body) => (JSON.parse(body) as { Index: number }).Index),
    [290, 291, 292, 293, 294, 295, 296, 297, 298, 299],
  );
  // A stream is trimmed by whole nodes of 100 entries.
  t.ok((await redis.xlen('stream-bounded')) < 210);
});

void t.test('what is wrong with the key, the password or the server waits and says what to do', async (t) => {
  const server = await startPrivateRedis(t, { args: ['--requirepass', 'open sesame'] });
  const url = `redis://:open%20sesame@127.0.0.1:${String(server.port)}/0`;
  await look(t, url).set(key, 'something else');
  const list = await open(t, url);
  const stream = await open(t, url, { SINK_REDIS_KIND: 'stream' });

  for (const sink of [list, stream]) {
    await t.rejects(sink.write([makeSinkMessage(1), makeSinkMessage(2)], never), {
      code: 'sink-retryable',
      message: /WRONGTYPE.*SINK_REDIS_KEY/u,
    });
    await t.resolves(sink.healthcheck(never));
  }
  const wrong = createSink(url.replace('sesame', 'secret-word'));
  const error = await wrong.connect(never).then(
    () => undefined,
    (thrown: unknown) => thrown as Error,
  );
  await wrong.close();
  t.match(error, { code: 'sink-retryable' });
  t.notMatch(`${String(error?.message)} ${String(error?.cause)}`, /secret-word/u);
});

void t.test(
  'a server that a failover made a replica is left, and what follows reaches the new master at the same address',
  async (t) => {
    const [old, heir] = [await startPrivateRedis(t), await startPrivateRedis(t)];
    const proxy = await startFaultProxy(t, { targetPort: old.port });
    for (const kind of ['list', 'stream']) {
      const sink = await open(t, `redis://127.0.0.1:${String(proxy.port)}/0`, {
        SINK_REDIS_KIND: kind,
        SINK_REDIS_KEY: kind,
      });
      await sink.write([makeSinkMessage(1)], never);
      const before = proxy.accepted;

      await look(t, old.url).replicaof('127.0.0.1', heir.port);
      await t.rejects(sink.write([makeSinkMessage(2), makeSinkMessage(3)], never), {
        code: 'sink-retryable',
        message: /READONLY/u,
      });
      await eventually(() => proxy.accepted > before, { message: 'another connection' });
      await look(t, old.url).replicaof('NO', 'ONE');
      await eventually(() => sink.write([makeSinkMessage(2)], never).then(() => true));
    }
  },
);

void t.test('a list that may not be cut is taken all the same, and that it grows is said once', async (t) => {
  const server = await startPrivateRedis(t);
  await look(t, server.url).call(
    'ACL',
    'SETUSER',
    'writer',
    'on',
    '>secret',
    '~*',
    '+rpush',
    '+xadd',
    '+ping',
    '+info',
    '+select',
  );
  const { log, lines } = recordingLog('warn');
  const url = `redis://writer:secret@127.0.0.1:${String(server.port)}/0`;
  const sink = redisSink.create(
    loadConfig(redisSink.settings, { env: { SINK_REDIS_URL: url, SINK_REDIS_KEY: key, SINK_REDIS_MAX_LENGTH: '1' } }),
    { log, name: 'redis' },
  );
  await sink.connect(never);
  t.teardown(() => sink.close());

  for (let n = 1; n <= 3; n += 1) await sink.write([makeSinkMessage(n)], never);

  t.equal(await look(t, server.url).llen(key), 3);
  t.equal(lines.length, 1);
  t.match(lines[0], { msg: /it grows$/u, error: /NOPERM.*LTRIM/iu });
});

void t.test('a batch that nobody answered is not sent beside the next try', async (t) => {
  const server = await startPrivateRedis(t);
  const proxy = await startFaultProxy(t, { targetPort: server.port });
  const sink = await open(t, `redis://127.0.0.1:${String(proxy.port)}/0`);
  const batch = [makeSinkMessage(1)];

  proxy.blackHole();
  for (let time = 0; time < 3; time += 1)
    await t.rejects(sink.write(batch, AbortSignal.abort()), { code: 'sink-retryable' });
  proxy.restore();
  await eventually(() => sink.write(batch, never).then(() => true));

  const arrived = await look(t, server.url).llen(key);
  t.ok(arrived >= 1 && arrived <= 2, String(arrived));
});

void t.test('replies say what was taken', (t) => {
  const batch = [makeSinkMessage(1), makeSinkMessage(2)];
  const ok = [null, '1-1'] as const;
  const reply = (text: string) => [Object.assign(new Error(text), { name: 'ReplyError' }), undefined] as const;
  const lost = [new Error('Connection is closed.'), undefined] as const;
  const cases: readonly (readonly ['list' | 'stream', Parameters<typeof judgeReplies>[0], object | undefined])[] = [
    ['list', [ok], undefined],
    ['list', [ok, reply('NOPERM no ltrim')], undefined],
    ['list', [reply('OOM command not allowed')], { code: 'sink-retryable', message: /OOM.*maxmemory/u }],
    ['list', [reply('ERR something new')], { code: 'sink-retryable', message: /ERR something new$/u }],
    ['stream', [ok, ok], undefined],
    ['stream', [reply('READONLY a'), reply('READONLY a')], { code: 'sink-retryable', message: /replica/u }],
    [
      'stream',
      [ok, reply('OOM a')],
      { code: 'sink-partial', failures: [{ index: 1, retryable: true, reason: /OOM/u }] },
    ],
    [
      'stream',
      [ok, lost],
      { code: 'sink-partial', failures: [{ index: 1, retryable: true, reason: /cannot be reached/u }] },
    ],
    ['stream', [lost, lost], { code: 'sink-retryable' }],
  ];
  for (const [kind, replies, expected] of cases) {
    const judged = judgeReplies(replies, batch, { SINK_REDIS_KIND: kind });
    if (expected === undefined) t.equal(judged, undefined);
    else t.match(judged, expected);
  }
  t.end();
});

void t.test('a list is one command, a stream one for each message', (t) => {
  const batch = [makeSinkMessage(1), makeSinkMessage(2)];
  const names = (kind: 'list' | 'stream', length: number | null) =>
    makeCommands(batch, { SINK_REDIS_KEY: key, SINK_REDIS_KIND: kind, SINK_REDIS_MAX_LENGTH: length }).map((command) =>
      command.slice(0, 4).filter((word) => typeof word === 'string'),
    );
  t.same(names('list', null), [['rpush', key]]);
  t.same(names('list', 5), [
    ['rpush', key],
    ['ltrim', key, '-5', '-1'],
  ]);
  t.same(names('stream', null), [
    ['xadd', key, '*', 'id'],
    ['xadd', key, '*', 'id'],
  ]);
  t.same(names('stream', 5), [
    ['xadd', key, 'MAXLEN', '~'],
    ['xadd', key, 'MAXLEN', '~'],
  ]);
  t.end();
});
