import { eventually } from '@hydrant/testing/eventually';
import { startPrivateRedis } from '@hydrant/testing/private-redis';
import { recordingLog } from '@hydrant/testing/test-log';
import t from 'tap';
import { createRedisClient } from './redis-client.ts';

const never = new AbortController().signal;

t.test('an answer beyond the bound is cut off and named, many below it are not, and the client goes on', async (t) => {
  const server = await startPrivateRedis(t);
  const { log, lines } = recordingLog();
  const redis = createRedisClient({ url: server.url, keyPrefix: 'p:', log, commandTimeoutMs: 30_000 });
  t.teardown(() => redis.stop(never));
  await redis.start(never);
  const isUp = (): boolean => redis.healthCheck.check().status === 'pass';
  await eventually(isUp);
  const repeat = redis.script({ name: 'repeatText', lua: "return string.rep('x', ARGV[1])", numberOfKeys: 1 });

  for (let n = 0; n < 4; n += 1) t.equal(String(await repeat('key', 20_000_000)).length, 20_000_000);
  await t.rejects(repeat('key', 100_000_000), { code: 'redis-unavailable' });
  await eventually(isUp);

  t.match(
    lines.filter(({ msg }) => msg.startsWith('An answer of Redis')),
    [{ level: 'error', maxBytes: 67_108_864 }],
  );
  t.equal(await repeat('key', 3), 'xxx');
});
