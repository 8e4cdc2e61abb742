import { Redis } from 'ioredis';
import { eventually } from '@hydrant/testing/eventually';
import { startPrivateRedis } from '@hydrant/testing/private-redis';
import { startPrivateSentinel } from '@hydrant/testing/private-sentinel';
import { testLog } from '@hydrant/testing/test-log';
import t from 'tap';
import { createRedisClient } from './redis-client.ts';

const never = new AbortController().signal;
const failoverMs = 60_000;

void t.test('the Sentinels say where the master is, also when another one has become it', async (t) => {
  const master = await startPrivateRedis(t);
  const replica = await startPrivateRedis(t, { args: ['--replicaof', '127.0.0.1', String(master.port)] });
  const sentinel = await startPrivateSentinel(t, { masterPort: master.port, masterName: 'nomad-redis' });
  // The first Sentinel and the host of the url are not there.
  const redis = createRedisClient({
    url: 'redis://127.0.0.1:1/0',
    keyPrefix: 'hydrant:',
    log: testLog(),
    sentinels: { addresses: ['127.0.0.1:1', sentinel.address], master: 'nomad-redis', password: null },
  });
  t.teardown(() => redis.stop(never));
  const count = redis.script({ name: 'count', lua: "return redis.call('INCR', KEYS[1])", numberOfKeys: 1 });
  await redis.start(never);
  t.equal(await eventually(() => count('key')), 1);

  const [observed, watched] = [new Redis(replica.url), new Redis(`redis://${sentinel.address}`)];
  t.teardown(() => {
    observed.disconnect();
    watched.disconnect();
  });
  await eventually(async () => (await observed.get('hydrant:key')) === '1', { timeoutMs: failoverMs });
  await eventually(
    async () => ((await watched.call('SENTINEL', 'REPLICAS', 'nomad-redis')) as readonly unknown[]).length === 1,
    { timeoutMs: failoverMs },
  );
  await master.kill();

  t.ok(Number(await eventually(() => count('key'), { timeoutMs: failoverMs })) >= 2);
  t.ok(Number(await observed.get('hydrant:key')) >= 2);
});

void t.test('without a Sentinel that answers the check names them', async (t) => {
  const redis = createRedisClient({
    url: 'redis://:secret@127.0.0.1:1/0',
    keyPrefix: '',
    log: testLog(),
    sentinels: { addresses: ['127.0.0.1:1'], master: 'nomad-redis', password: 'hidden' },
  });
  t.teardown(() => redis.stop(never));

  await redis.start(never);

  const detail = await eventually(() =>
    redis.healthCheck.check().detail?.includes('unreachable') === true ? redis.healthCheck.check().detail : undefined,
  );
  t.match(detail, /^nomad-redis of the Sentinels 127\.0\.0\.1:1: All sentinels are unreachable/u);
  t.notMatch(detail, /secret|hidden/u);
});
