import { systemClock } from '@hydrant/shared/foundation/clock';
import { createRedisClient, type RedisClient } from '@hydrant/shared/redis/redis-client';
import { eventually } from '@hydrant/testing/eventually';
import { startPrivateRedis, type PrivateRedis } from '@hydrant/testing/private-redis';
import { testLog } from '@hydrant/testing/test-log';
import t, { type Test } from 'tap';
import { createRedisCheckpointStore } from '../checkpoint/redis-checkpoint-store.ts';
import type { LeaseStore } from './lease-store.ts';
import { createRedisLeaseStore } from './redis-lease-store.ts';

const forever = new AbortController().signal;
const place = { keyPrefix: 'hydrant:', cluster: 'prod', region: 'default' };
const checkpoint = { index: 42, filter: '', source: 'http://nomad:4646' };
const longMs = 600_000;

async function connect(t: Test, server: PrivateRedis): Promise<RedisClient> {
  const redis = createRedisClient({ url: server.url, keyPrefix: place.keyPrefix, log: testLog() });
  await redis.start(forever);
  t.teardown(() => redis.stop(forever));
  await eventually(() => redis.healthCheck.check().status === 'pass');
  return redis;
}

async function takeToken(store: LeaseStore, holder: string, lastsMs = longMs): Promise<number> {
  const reply = await store.take(holder, lastsMs);
  return reply.outcome === 'granted' ? Number(reply.token) : Number.NaN;
}

function plant(redis: RedisClient, lua: string): Promise<unknown> {
  return redis.script({ name: `plant${String(lua.length)}`, lua: `return redis.call(${lua})`, numberOfKeys: 1 })(
    'checkpoint:prod:default',
  );
}

t.test('one of two gets the lease, the other is told whose it is', async (t) => {
  const redis = await connect(t, await startPrivateRedis(t));
  const [first, second] = [createRedisLeaseStore({ ...place, redis }), createRedisLeaseStore({ ...place, redis })];

  const token = await takeToken(first, 'a');

  t.strictSame(await second.take('b', longMs), { outcome: 'held', by: 'a' });
  t.equal(await takeToken(first, 'a'), token, 'who has it prolongs it under the same token');
  await second.release('b');
  t.strictSame(await second.take('b', longMs), { outcome: 'held', by: 'a' }, 'only its holder gives it back');
  await first.release('a');
  const next = await takeToken(second, 'b');
  t.ok(next > token, `${String(next)} is higher than ${String(token)}`);
});

t.test('a lease that is not renewed ends', async (t) => {
  const redis = await connect(t, await startPrivateRedis(t));
  const store = createRedisLeaseStore({ ...place, redis });
  const token = await takeToken(store, 'a', 20);

  t.ok(await eventually(async () => (await takeToken(store, 'b')) > token));
});

t.test('who led before cannot move the checkpoint, not even before the next one has saved it', async (t) => {
  const redis = await connect(t, await startPrivateRedis(t));
  const leases = createRedisLeaseStore({ ...place, redis });
  const held: { token: string | undefined } = { token: String(await takeToken(leases, 'a')) };
  const store = createRedisCheckpointStore({ ...place, redis, lease: held, clock: systemClock });
  await store.load(forever);
  await store.save(checkpoint);
  await leases.release('a');
  const next = await takeToken(leases, 'b');

  await t.rejects(store.save({ ...checkpoint, index: 43 }), { code: 'checkpoint-taken-over', retryable: false });
  held.token = undefined;
  await t.rejects(store.save({ ...checkpoint, index: 43 }), { code: 'lease-not-held', retryable: true });
  t.match(await store.load(forever), { index: 42 });
  held.token = String(next);
  await store.save({ ...checkpoint, index: 44 });
  t.match(await store.load(forever), { index: 44 }, 'who has the lease again saves on');
});

t.test('a save that a lost lease made late is tried again, because the lease may come back', async (t) => {
  const redis = await connect(t, await startPrivateRedis(t));
  const leases = createRedisLeaseStore({ ...place, redis });
  const tokens = [String(await takeToken(leases, 'a')), undefined];
  const store = createRedisCheckpointStore({
    ...place,
    redis,
    lease: {
      get token() {
        return tokens.shift();
      },
    },
    clock: systemClock,
  });
  await leases.release('a');
  await takeToken(leases, 'b');

  await t.rejects(store.save(checkpoint), { code: 'lease-not-held', retryable: true });
});

t.test('a token is higher than any before, though the clock was set back or Redis was emptied', async (t) => {
  const redis = await connect(t, await startPrivateRedis(t));
  const store = createRedisLeaseStore({ ...place, redis });
  const before = await takeToken(store, 'a');
  await plant(redis, "'FLUSHALL'");
  t.ok((await takeToken(store, 'b')) > before);

  await store.release('b');
  await plant(redis, "'HSET', KEYS[1], 'token', '4000000000000000', 'index', '7'");
  t.equal(await takeToken(store, 'a'), 4_000_000_000_000_001);
});

t.test('a checkpoint that is none is left alone, and a reply that says nothing is refused', async (t) => {
  const redis = await connect(t, await startPrivateRedis(t));
  await plant(redis, "'SET', KEYS[1], 'text'");

  t.ok((await takeToken(createRedisLeaseStore({ ...place, redis }), 'a')) > 0);
  t.equal(await plant(redis, "'GET', KEYS[1]"), 'text');
  const odd = createRedisLeaseStore({ ...place, redis: { script: () => () => Promise.resolve('OK') } });
  await t.rejects(odd.take('a', longMs), { code: 'redis-refused', message: /"OK"/u });
});
