import t, { type Test } from 'tap';
import { createRedisClient, type RedisClient } from '@hydrant/shared/redis/redis-client';
import { eventually } from '@hydrant/testing/eventually';
import { startPrivateRedis } from '@hydrant/testing/private-redis';
import { testLog } from '@hydrant/testing/test-log';
import { ledgerContract } from './ledger-contract.ts';
import type { Observation, Rule } from './ledger.ts';
import { createRedisLedger } from './redis-ledger.ts';

const server = await startPrivateRedis(t);
const signal = new AbortController().signal;
const rule: Rule = { count: 3, intervalMs: 600_000, notificationIntervalMs: 600_000 };
const start = 1_795_231_700_000_000;
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

function crash(number: number): Observation {
  const timeUs = start + number * 1_000_000;
  return {
    eventId: `e${number}`, group: 'g', followLineage: true, allocation: 'a', task: 'task',
    place: { cluster: 'c', namespace: 'default', job: 'job', group: 'group', task: 'task' }, timed: [], links: [{ child: 'a', parent: 'b' }], modifiedAtUs: timeUs,
    restarts: [{ number, kind: 'crash', timeUs, detail: `#${number}` }], failure: null, lastEvent: '{}',
  };
}

ledgerContract(t, {
  name: 'redis',
  async create(t, options) {
    return createRedisLedger(await connect(t, freshPrefix()), options);
  },
});

t.test('every key has the prefix and expires', async (t) => {
  const keyPrefix = freshPrefix();
  const redis = await connect(t, keyPrefix);
  const ledger = createRedisLedger(redis);
  for (const number of [1, 2, 3]) await ledger.record(crash(number), rule);
  const inspect = redis.script({
    name: 'inspect', numberOfKeys: 1, lua: `
      local lines = {}
      for _, key in ipairs(redis.call('KEYS', KEYS[1] .. '*')) do lines[#lines + 1] = key .. (redis.call('TTL', key) > 86000 and ' expires' or ' stays') end
      table.sort(lines)
      return lines` });

  t.same(await inspect(''), ['allocation:a', 'crashes:g/b', 'lineages', 'loop:g/b', 'open'].map((key) => `${keyPrefix}detector:${key} expires`));
});

t.test('two detectors announce a loop once', async (t) => {
  const keyPrefix = freshPrefix();
  const first = createRedisLedger(await connect(t, keyPrefix));
  const second = createRedisLedger(await connect(t, keyPrefix));

  const decisions = await Promise.all(Array.from({ length: 40 }, (_, index) => (index % 2 === 0 ? first : second).record(crash(index + 1), rule)));

  t.equal(decisions.filter((decision) => decision.action === 'announce').length, 1);
});

t.test('what was recorded outlives Redis, and a call meanwhile fails at once', async (t) => {
  const ledger = createRedisLedger(await connect(t, freshPrefix()));
  for (const number of [1, 2]) await ledger.record(crash(number), rule);

  await server.kill();
  await t.rejects(ledger.record(crash(3), rule), { code: 'redis-unavailable', retryable: true });
  await server.start();

  const decision = await eventually(() => ledger.record(crash(3), rule).catch(() => undefined));
  t.match(decision, { action: 'announce', count: 3 });
});
