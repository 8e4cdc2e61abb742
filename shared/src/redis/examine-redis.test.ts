import { startPrivateRedis } from '@hydrant/testing/private-redis';
import { testLog } from '@hydrant/testing/test-log';
import { Redis } from 'ioredis';
import t from 'tap';
import { systemClock } from '../foundation/clock.ts';
import { examineRedis } from './examine-redis.ts';
import { createRedisClient } from './redis-client.ts';

const never = new AbortController().signal;

function within(ms: number): AbortSignal {
  const late = new AbortController();
  systemClock.after(ms, () => {
    late.abort();
  });
  return late.signal;
}

const needs = [
  {
    key: 'checkpoint:doctor',
    commands: [
      ['HSET', 'f', '1'],
      ['HGET', 'f'],
    ],
  },
] as const;

t.test('redis is asked for the commands and keys of the service, and nothing stays there', async (t) => {
  const { url } = await startPrivateRedis(t);
  const redis = new Redis(url);
  t.teardown(() => {
    redis.disconnect();
  });
  const examine = (address: string) =>
    examineRedis(
      createRedisClient({ url: address, keyPrefix: 'hydrant:', log: testLog() }),
      needs,
      systemClock,
    ).examine(never);
  const subject = 'redis, scripts and the keys checkpoint:*';

  t.match(await examine(url), [
    { subject: 'redis', isWell: true },
    { subject, isWell: true },
  ]);
  t.equal(await redis.exists('hydrant:checkpoint:doctor'), 0);

  const least = new URL(url);
  least.username = 'least';
  least.password = 'secret';
  const allow = (...rules: readonly string[]) =>
    redis.call(
      'ACL',
      'SETUSER',
      'least',
      'reset',
      'on',
      '>secret',
      '-@all',
      '+@connection',
      '+info',
      '+eval',
      '+evalsha',
      '+time',
      ...rules,
    );
  await allow('~hydrant:checkpoint:*', '+hset', '+hget');
  t.match(
    await examine(least.href),
    [{ isWell: true }, { subject, isWell: true }],
    'with the rights of the service and no others',
  );
  await allow('~hydrant:checkpoint:*', '+hget');
  t.match(await examine(least.href), [
    { isWell: true },
    { subject, isWell: false, detail: /\(HSET\); does the user have the commands/u },
  ]);
  await allow('~hydrant:other:*', '+hset', '+hget');
  t.match(await examine(least.href), [
    { isWell: true },
    { subject, isWell: false, detail: /these keys under REDIS_KEY_PREFIX/u },
  ]);
});

t.test('a redis that is away is told with its address', async (t) => {
  const redis = createRedisClient({ url: 'redis://:secret@127.0.0.1:1/0', keyPrefix: 'hydrant:', log: testLog() });

  const findings = await examineRedis(redis, needs, systemClock).examine(within(1_000));

  t.match(findings, [{ subject: 'redis', isWell: false, detail: /127\.0\.0\.1:1.*REDIS_URL/u }]);
  t.notMatch(findings[0]?.detail, 'secret');
});
