import t, { type Test } from 'tap';
import { createRedisClient, type RedisClient } from '@hydrant/shared/redis/redis-client';
import { createRedisStateStore } from '@hydrant/shared/state/redis/redis-state-store';
import { eventually } from '@hydrant/testing/eventually';
import { startPrivateRedis } from '@hydrant/testing/private-redis';
import { testLog } from '@hydrant/testing/test-log';
import {
  manualClock,
  observation,
  replaced,
  restart,
  rule,
  timedLedger,
  type TimedLedger,
} from './ledger-cases-contract.ts';
import { ledgerContract } from './ledger-contract.ts';
import { stateLimits } from './state-ledger.ts';

const server = await startPrivateRedis(t);
const signal = new AbortController().signal;
let prefixes = 0;

async function connect(t: Test, keyPrefix: string): Promise<RedisClient> {
  const redis = createRedisClient({ url: server.url, keyPrefix, log: testLog() });
  await redis.start(signal);
  t.teardown(() => redis.stop(signal));
  await eventually(() => redis.healthCheck.check().status === 'pass');
  return redis;
}

function freshPrefix(): string {
  prefixes += 1;
  return `test-${prefixes}:`;
}

async function open(
  t: Test,
  keyPrefix: string,
  { maxLineages = 1000, clock = manualClock() } = {},
): Promise<TimedLedger> {
  return timedLedger(
    createRedisStateStore({
      redis: await connect(t, keyPrefix),
      name: 'detector',
      limits: stateLimits(maxLineages),
      clock,
    }),
    clock,
  );
}

ledgerContract(t, { name: 'redis', create: (t, options) => open(t, freshPrefix(), options) });

t.test('every key expires', async (t) => {
  const keyPrefix = freshPrefix();
  const ledger = await open(t, keyPrefix);
  for (const number of [1, 2, 3])
    await ledger.record(
      observation(`e${number}`, [restart(number, number)], { links: [replaced('c/a1', 'c/a0')] }),
      rule,
    );
  const plain = await connect(t, '');

  const keys = ((await plain.run('KEYS', `${keyPrefix}*`)) as readonly string[]).toSorted();
  t.same(
    keys,
    [
      'allocation/c/a1',
      'due:loop',
      'format',
      'loop/c/r/default/job.group[0]/task/c/a0',
      'used:allocation',
      'used:loop',
    ].map((key) => `${keyPrefix}{detector}:${key}`),
  );
  for (const key of keys.filter((one) => one.includes('/'))) t.ok(Number(await plain.run('TTL', key)) > 86_000, key);
});

t.test('several detectors announce a loop once, whatever they do at once', async (t) => {
  const keyPrefix = freshPrefix();
  const ledgers = await Promise.all([1, 2, 3].map(() => open(t, keyPrefix)));

  const record = async (index: number) =>
    ledgers[index % 3]?.record(observation(`e${index}`, [restart(index + 1, index / 1000)]), rule);
  const decisions = await Promise.all(Array.from({ length: 300 }, (_, index) => record(index)));

  t.equal(decisions.filter((decision) => decision?.action === 'announce').length, 1);
  t.equal(
    decisions.reduce((sum, decision) => sum + (decision?.recorded.restarts ?? 0) + (decision?.recorded.hidden ?? 0), 0),
    300,
    'and count each crash once',
  );
});

t.test('what was recorded outlives Redis, and a call meanwhile fails at once', async (t) => {
  const ledger = await open(t, freshPrefix());
  const crash = (number: number) => observation(`e${number}`, [restart(number, number)]);
  for (const number of [1, 2]) await ledger.record(crash(number), rule);

  await server.kill();
  await t.rejects(ledger.record(crash(3), rule), { code: 'redis-unavailable', retryable: true });
  await server.start();

  const decision = await eventually(() => ledger.record(crash(3), rule).catch(() => undefined));
  t.match(decision, { action: 'announce', count: 3 });
});
