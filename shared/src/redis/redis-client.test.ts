import t from 'tap';
import { eventually } from '@hydrant/testing/eventually';
import { startPrivateRedis } from '@hydrant/testing/private-redis';
import { testLog } from '@hydrant/testing/test-log';
import { errorCode } from '../foundation/errors.ts';
import { createRedisClient } from './redis-client.ts';

const neverAborted = new AbortController().signal;
const lua = "return { KEYS[1], ARGV[1], redis.call('INCR', KEYS[1]) }";

void t.test('a script runs with the prefix, many at once, and again after Redis lost its scripts and was restarted', async (t) => {
  const server = await startPrivateRedis(t);
  const redis = createRedisClient({ url: server.url, keyPrefix: 'hydrant:', log: testLog() });
  t.teardown(() => redis.stop(neverAborted));
  const count = redis.script({ name: 'countUp', lua, numberOfKeys: 1 });
  await t.rejects(count('key', 'value'), { code: 'redis-unavailable' }, 'nothing is queued before it is connected');

  await redis.start(neverAborted);
  await eventually(() => redis.healthCheck.check().status === 'pass');
  const replies = await Promise.all(Array.from({ length: 100 }, () => count('key', 'value')));
  t.same(replies.at(-1), ['hydrant:key', 'value', 100]);

  await server.kill();
  await eventually(() => redis.healthCheck.check().status === 'fail');
  t.equal(await count('key', 'value').catch(errorCode), 'redis-unavailable');
  await server.start();
  await eventually(() => redis.healthCheck.check().status === 'pass');
  t.match(await count('other', 'value'), ['hydrant:other', 'value', 1]);
});

void t.test('an error that Redis answers is told apart from its absence', async (t) => {
  const server = await startPrivateRedis(t);
  const redis = createRedisClient({ url: server.url, keyPrefix: '', log: testLog() });
  t.teardown(() => redis.stop(neverAborted));
  const fail = redis.script({ name: 'failAlways', lua: "return redis.error_reply('OOM no room')", numberOfKeys: 0 });

  await redis.start(neverAborted);
  await eventually(() => redis.healthCheck.check().status === 'pass');

  await t.rejects(fail(), { code: 'redis-refused', retryable: true });
});
