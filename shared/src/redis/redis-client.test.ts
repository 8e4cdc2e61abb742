import { Redis } from 'ioredis';
import t from 'tap';
import { eventually } from '@hydrant/testing/eventually';
import { startFaultProxy } from '@hydrant/testing/fault-proxy';
import { startPrivateRedis } from '@hydrant/testing/private-redis';
import { testFolder } from '@hydrant/testing/test-folder';
import { recordingLog, testLog } from '@hydrant/testing/test-log';
import { describeError, errorCode } from '../foundation/errors.ts';
import { loadLua } from './lua.ts';
import { createRedisClient, type RedisClient } from './redis-client.ts';

const neverAborted = new AbortController().signal;
const lua = "return { KEYS[1], ARGV[1], redis.call('INCR', KEYS[1]) }";

async function untilUp(redis: RedisClient): Promise<void> {
  await eventually(() => redis.healthCheck.check().status === 'pass');
}

void t.test(
  'a script runs with the prefix, many at once, and again after Redis lost its scripts and was restarted',
  async (t) => {
    const server = await startPrivateRedis(t);
    const redis = createRedisClient({ url: server.url, keyPrefix: 'hydrant:', log: testLog() });
    t.teardown(() => redis.stop(neverAborted));
    const count = redis.script({ name: 'countUp', lua, numberOfKeys: 1 });
    await t.rejects(count('key', 'value'), { code: 'redis-unavailable' }, 'nothing is queued before it is connected');

    await redis.start(neverAborted);
    await untilUp(redis);
    const replies = await Promise.all(Array.from({ length: 100 }, () => count('key', 'value')));
    t.same(replies.at(-1), ['hydrant:key', 'value', 100]);

    const other = new Redis(server.url);
    await other.script('FLUSH');
    other.disconnect();
    t.match(await Promise.all([count('flushed', 1), count('flushed', 2)]), [
      ['hydrant:flushed', '1', 1],
      ['hydrant:flushed', '2', 2],
    ]);

    await server.kill();
    await eventually(() => redis.healthCheck.check().status === 'fail');
    t.equal(await count('key', 'value').catch(errorCode), 'redis-unavailable');
    await server.start();
    await untilUp(redis);
    t.match(await count('other', 'value'), ['hydrant:other', 'value', 1]);
  },
);

void t.test('an error that Redis answers is told apart from its absence', async (t) => {
  const server = await startPrivateRedis(t);
  const redis = createRedisClient({ url: server.url, keyPrefix: '', log: testLog() });
  t.teardown(() => redis.stop(neverAborted));
  const fail = redis.script({ name: 'failAlways', lua: 'return redis.error_reply(ARGV[1])', numberOfKeys: 0 });

  await redis.start(neverAborted);
  await untilUp(redis);

  const cases = [
    ['OOM command not allowed', /it refused; it is full: raise its maxmemory/u],
    [
      "ERR Error running script: -READONLY You can't write against a read only replica",
      /it is a replica: point REDIS_URL to the master/u,
    ],
    ['MISCONF Redis is configured to save RDB snapshots', /its own disk/u],
    ["NOPERM this user has no permissions to run the 'hset' command", /give the user in REDIS_URL the right/u],
    ['ERR something else', /failAlways, it refused$/u],
  ] as const;
  for (const [reply, message] of cases)
    await t.rejects(fail(reply), { code: 'redis-refused', retryable: true, message }, reply);
});

const failovers = [
  "READONLY You can't write against a read only replica.",
  "ERR Error running script (call to f_1): @user_script:1: -READONLY You can't write against a read only replica.",
  "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
  'NOREPLICAS Not enough good replicas to write.',
  'LOADING Redis is loading the dataset in memory',
  'CLUSTERDOWN The cluster is down',
];

void t.test(
  'what Redis answers around a failover makes another connection, on which the script runs again',
  async (t) => {
    const server = await startPrivateRedis(t);
    const proxy = await startFaultProxy(t, { targetPort: server.port });
    const { log, lines } = recordingLog('info');
    const redis = createRedisClient({ url: server.urlAt(proxy.port), keyPrefix: '', log });
    t.teardown(() => redis.stop(neverAborted));
    const failOnce = redis.script({
      name: 'failOnce',
      lua: "if redis.call('INCR', KEYS[1]) == 1 then return redis.error_reply(ARGV[1]) end return 'done'",
      numberOfKeys: 1,
    });
    await redis.start(neverAborted);
    await untilUp(redis);

    for (const [done, reply] of failovers.entries()) {
      t.equal(await failOnce(reply, reply), 'done', reply);
      t.equal(proxy.accepted, done + 2, 'another connection');
    }

    t.same(
      lines.map(({ msg }) => msg),
      ['Redis connected', ...failovers.map(() => 'Redis at the other end cannot serve, connects again')],
    );
  },
);

void t.test('a server that became a replica is left for the one that its name leads to then', async (t) => {
  const former = await startPrivateRedis(t);
  const next = await startPrivateRedis(t);
  const proxy = await startFaultProxy(t, { targetPort: former.port });
  const redis = createRedisClient({ url: former.urlAt(proxy.port), keyPrefix: '', log: testLog() });
  t.teardown(() => redis.stop(neverAborted));
  const count = redis.script({ name: 'countUp', lua, numberOfKeys: 1 });
  await redis.start(neverAborted);
  await untilUp(redis);
  const admin = new Redis(former.url);
  t.teardown(() => {
    admin.disconnect();
  });

  await admin.replicaof('127.0.0.1', 1);
  await t.rejects(
    count('key', 'value'),
    { code: 'redis-refused', message: /it is a replica/u },
    'its name leads there still',
  );
  t.match(redis.healthCheck.check(), { status: 'fail', detail: /READONLY/u });
  proxy.retarget(next.port);

  const replies = await Promise.all([eventually(() => count('key', 'a')), eventually(() => count('key', 'b'))]);
  t.same(replies.map((reply) => (reply as readonly unknown[])[2]).sort(), [1, 2]);
  t.equal(redis.healthCheck.check().status, 'pass');
});

void t.test('start returns while Redis is away, and the connection is made when it comes', async (t) => {
  const server = await startPrivateRedis(t);
  await server.kill();
  const { log, lines } = recordingLog('info');
  const redis = createRedisClient({ url: server.url, keyPrefix: '', log });
  t.teardown(() => redis.stop(neverAborted));

  await redis.start(neverAborted);
  await eventually(() => redis.healthCheck.check().detail?.includes('ECONNREFUSED'));
  await server.start();
  await untilUp(redis);

  t.equal(lines.filter(({ level }) => level === 'warn').length, 1, 'the same failure is logged once');
});

void t.test('a Redis that went silent is noticed, and used again when it answers', async (t) => {
  const server = await startPrivateRedis(t);
  const redis = createRedisClient({ url: server.url, keyPrefix: '', log: testLog(), commandTimeoutMs: 300 });
  t.teardown(() => redis.stop(neverAborted));
  const count = redis.script({ name: 'countUp', lua, numberOfKeys: 1 });
  await redis.start(neverAborted);
  await untilUp(redis);

  server.freeze();
  await t.rejects(count('key', 1), { code: 'redis-unavailable', retryable: true });
  await eventually(() => redis.healthCheck.check().status === 'fail');
  server.thaw();

  await untilUp(redis);
  t.match(await eventually(() => count('later', 1)), ['later', '1', 1]);
});

void t.test('a wrong password is reported and never shown', async (t) => {
  const server = await startPrivateRedis(t, { args: ['--requirepass', 'right-password'] });
  const { log, lines } = recordingLog('debug');
  const redis = createRedisClient({ url: server.url.replace('://', '://user:hunter2@'), keyPrefix: '', log });
  t.teardown(() => redis.stop(neverAborted));
  const count = redis.script({ name: 'countUp', lua, numberOfKeys: 1 });

  await redis.start(neverAborted);
  await eventually(() => redis.healthCheck.check().detail?.includes('WRONGPASS'));
  const failure: unknown = await count('key', 1).catch((error: unknown) => error);

  t.equal(errorCode(failure), 'redis-unavailable');
  t.match(describeError(failure), 'redis://***@127.0.0.1');
  t.notMatch(
    `${describeError(failure)} ${JSON.stringify(lines)} ${JSON.stringify(redis.healthCheck.check())}`,
    /hunter2/u,
  );
});

void t.test('stop is quiet, safe twice and safe without start', async (t) => {
  const server = await startPrivateRedis(t);
  const { log, lines } = recordingLog('warn');
  const redis = createRedisClient({ url: server.url, keyPrefix: '', log });
  await redis.start(neverAborted);
  await untilUp(redis);

  await redis.stop(neverAborted);
  await redis.stop(neverAborted);
  await createRedisClient({ url: server.url, keyPrefix: '', log }).stop(neverAborted);

  await eventually(() => redis.healthCheck.check().status === 'fail');
  t.same(lines, []);
});

void t.test('a script is read from its file', (t) => {
  const folder = testFolder(t, { 'count-1.lua': lua });
  t.equal(loadLua(new URL(`file://${folder}/count-1.lua`)), lua);
  t.end();
});
