import { eventually } from '@hydrant/testing/eventually';
import { startPrivateRedis } from '@hydrant/testing/private-redis';
import { startPrivateSentinel } from '@hydrant/testing/private-sentinel';
import { testLog } from '@hydrant/testing/test-log';
import t, { type Test } from 'tap';
import { systemClock } from '../../foundation/clock.ts';
import { createRedisClient, type RedisClient, type RedisClientOptions } from '../../redis/redis-client.ts';
import { change, put, stateStoreContract } from '../state-store-contract.ts';
import { createRedisStateStore } from './redis-state-store.ts';

const server = await startPrivateRedis(t);
const never = new AbortController().signal;
const limits = { loop: 1000 };
let prefixes = 0;

async function connect(t: Test, changes: Partial<RedisClientOptions> = {}): Promise<RedisClient> {
  prefixes += 1;
  const redis = createRedisClient({ url: server.url, keyPrefix: `test-${prefixes}:`, log: testLog(), ...changes });
  await redis.start(never);
  t.teardown(() => redis.stop(never));
  await eventually(() => redis.healthCheck.check().status === 'pass');
  return redis;
}

function makeStore(redis: RedisClient, options: Partial<Parameters<typeof createRedisStateStore>[0]> = {}) {
  return createRedisStateStore({ redis, name: 'detector', limits, clock: systemClock, ...options });
}

stateStoreContract(t, {
  name: 'redis',
  async create(t, limits) {
    const redis = await connect(t);
    const store = makeStore(redis, { limits });
    await store.prepare();
    return { store, pass: (ms) => systemClock.sleep(ms), reopen: () => Promise.resolve(makeStore(redis, { limits })) };
  },
});

t.test('every key has the prefix and one hash tag, and entries expire', async (t) => {
  const redis = await connect(t, { keyPrefix: 'mine:' });
  const store = makeStore(redis);
  await store.prepare();
  await change(store, put('loop/a', '1', { deadlineMs: 1 }));

  const plain = await connect(t, { keyPrefix: '' });
  const keys = ((await plain.run('KEYS', 'mine:*')) as readonly string[]).toSorted();
  t.same(
    keys,
    ['due:loop', 'format', 'loop/a', 'used:loop'].map((key) => `mine:{detector}:${key}`),
  );
  const ttl = Number(await plain.run('PTTL', 'mine:{detector}:loop/a'));
  t.ok(ttl > 3_590_000 && ttl <= 3_600_000);
});

t.test('state of a newer format is refused', async (t) => {
  const redis = await connect(t);
  await makeStore(redis).prepare();
  await makeStore(redis).prepare();
  await redis.run('SET', '{detector}:format', 3);
  await redis.run('SET', '{detector}:loop/a', 'version 2  value');

  await t.rejects(makeStore(redis).prepare(), {
    code: 'state-format-newer',
    retryable: true,
    message: /at most the format 1.*found the format 3/u,
  });
  await t.rejects(makeStore(redis).load(['loop/b']), { code: 'state-format-newer', message: /found the format 3/u });
  await redis.run('SET', '{detector}:format', 1);
  await t.rejects(makeStore(redis).load(['loop/a']), { code: 'state-format-newer', message: /found the format 2/u });
});

t.test('what is no entry is said to be none', async (t) => {
  const redis = await connect(t);
  await redis.run('SET', '{detector}:loop/a', 'something');

  await t.rejects(makeStore(redis).load(['loop/a']), { code: 'state-broken', retryable: true });
});

t.test('a script that Redis lost is given to it again', async (t) => {
  const redis = await connect(t);
  const store = makeStore(redis);
  await change(store, put('loop/a', '1'));
  await redis.run('SCRIPT', 'FLUSH');

  await change(store, put('loop/a', '2'));
  t.equal((await store.load(['loop/a'])).get('loop/a')?.value, '2');
});

t.test('while Redis is gone calls fail at once, and its state is there again afterwards', async (t) => {
  const store = makeStore(await connect(t));
  await change(store, put('loop/a', '1'));
  await server.kill();

  await t.rejects(store.load(['loop/a']), { code: 'redis-unavailable', retryable: true });
  await t.rejects(store.prepare(), { code: 'redis-unavailable', retryable: true });
  await server.start();

  const loaded = await eventually(() => store.load(['loop/a']).catch(() => undefined));
  t.equal(loaded.get('loop/a')?.value, '1');
});

t.test('the Sentinels say which Redis holds the state', async (t) => {
  const master = await startPrivateRedis(t);
  const sentinel = await startPrivateSentinel(t, { masterPort: master.port, masterName: 'nomad-redis' });
  const store = makeStore(
    await connect(t, {
      url: 'redis://127.0.0.1:1/0',
      sentinels: { addresses: [sentinel.address], master: 'nomad-redis', password: null },
    }),
  );

  await change(store, put('loop/a', '1'));

  t.equal((await store.load(['loop/a'])).get('loop/a')?.value, '1');
});
