/**
 * What the ledger does while Redis cannot do its part: it says so, records nothing by half, and goes on when Redis
 * does.
 */
import { connect as connectSocket } from 'node:net';
import t, { type Test } from 'tap';
import { createRedisClient } from '@hydrant/shared/redis/redis-client';
import { eventually } from '@hydrant/testing/eventually';
import { startPrivateRedis } from '@hydrant/testing/private-redis';
import { testLog } from '@hydrant/testing/test-log';
import { createRedisStateStore } from '@hydrant/shared/state/redis/redis-state-store';
import {
  claimOf,
  manualClock,
  observation,
  restart,
  rule,
  shown,
  timedLedger,
  type TimedLedger,
} from './ledger-cases-contract.ts';
import { stateLimits } from './state-ledger.ts';

const server = await startPrivateRedis(t);
const signal = new AbortController().signal;
let prefixes = 0;

async function startLedger(t: Test): Promise<TimedLedger> {
  prefixes += 1;
  const redis = createRedisClient({
    url: server.url,
    keyPrefix: `faults-${prefixes}:`,
    log: testLog(),
    commandTimeoutMs: 1000,
  });
  await redis.start(signal);
  t.teardown(() => redis.stop(signal));
  await eventually(() => redis.healthCheck.check().status === 'pass');
  const clock = manualClock();
  return timedLedger(createRedisStateStore({ redis, name: 'detector', limits: stateLimits(1000), clock }), clock);
}

/** What an operator would type; resolves with the first line of the reply. */
function command(text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connectSocket(server.port, '127.0.0.1', () => {
      socket.write(`${text}\r\n`);
    });
    socket.on('error', reject);
    socket.once('data', (bytes) => {
      resolve(bytes.toString('latin1').split('\r\n')[0] ?? '');
      socket.destroy();
    });
  });
}

const crashes = [1, 2, 3].map((number) => observation(`e${number}`, [restart(number, number)]));

async function recordAll(ledger: TimedLedger): Promise<string[]> {
  return (await Promise.all(crashes.map((one) => ledger.record(one, rule)))).map(shown);
}

t.test('scripts that Redis lost are given to it again', async (t) => {
  const ledger = await startLedger(t);
  await ledger.record(observation('e1', [restart(1, 1)]), rule);

  t.equal(await command('SCRIPT FLUSH'), '+OK');

  t.same(await recordAll(ledger), ['none', 'none', 'opened 3']);
  t.equal(await command('SCRIPT FLUSH'), '+OK');
  t.same(await ledger.takeResolved(10), []);
});

t.test('an emptied Redis counts anew, and what is known of before is no error', async (t) => {
  const ledger = await startLedger(t);
  t.same(await recordAll(ledger), ['none', 'none', 'opened 3']);
  const claim = claimOf(await ledger.record(observation('e3', [restart(3, 3)]), rule));

  t.equal(await command('FLUSHALL'), '+OK');

  await ledger.confirm(claim);
  t.same(await ledger.openLoops(), []);
  t.same(await ledger.size(), { lineages: 0, openLoops: 0 });
  t.same(await recordAll(ledger), ['none', 'none', 'opened 3']);
});

t.test('while Redis takes no writes nothing is recorded, and each call says so', async (t) => {
  const faults: [name: string, breaking: string, healing: string][] = [
    ['it is full', 'CONFIG SET maxmemory 1', 'CONFIG SET maxmemory 0'],
    ['it is a replica', 'REPLICAOF 127.0.0.1 1', 'REPLICAOF NO ONE'],
  ];
  for (const [name, breaking, healing] of faults) {
    const ledger = await startLedger(t);
    await ledger.record(observation('e1', [restart(1, 1)]), rule);
    t.equal(await command(breaking), '+OK');

    const outcomes = await Promise.allSettled(crashes.slice(1).map((one) => ledger.record(one, rule)));
    for (const outcome of outcomes)
      t.match(outcome, { status: 'rejected', reason: { code: 'redis-refused', retryable: true } }, name);

    t.equal(await command(healing), '+OK');
    const again = await Promise.all(crashes.map((one) => ledger.record(one, rule)));
    t.same(
      again.map(({ recorded }) => recorded.restarts),
      [0, 1, 1],
      'nothing of them had been recorded',
    );
    t.same(again.map(shown), ['none', 'none', 'opened 3']);
  }
});

t.test('an observation that Redis cannot take stops no other', async (t) => {
  const ledger = await startLedger(t);
  const loop = `faults-${prefixes}:{detector}:loop/${crashes[0]?.group}/broken`;
  t.match(await command(`HSET ${loop} field text`), ':1');

  const [broken, fine] = await Promise.allSettled([
    ledger.record(observation('e1', [restart(1, 1)], { allocation: 'broken' }), rule),
    ledger.record(observation('e2', [restart(1, 1)]), rule),
  ]);

  t.match(broken, { status: 'rejected', reason: { code: 'state-contended', retryable: true } });
  t.match(fine, { status: 'fulfilled', value: { action: 'none' } });
});

t.test('names of any length and any signs are counted apart', async (t) => {
  const ledger = await startLedger(t);
  const names = ['x'.repeat(10_000), '*', '[a-z]?', 'ä ü\n\0', '%', "'"];

  for (const name of names) {
    for (const number of [1, 2])
      t.equal(
        shown(
          await ledger.record(
            observation(`${name}${number}`, [restart(number, number)], { group: name, task: name, allocation: name }),
            rule,
          ),
        ),
        'none',
      );
  }
  t.same(await ledger.size(), { lineages: names.length, openLoops: 0 });
});

t.test('while Redis is gone calls fail at once, and ends wait', async (t) => {
  const ledger = await startLedger(t);
  await recordAll(ledger);
  await server.kill();

  await t.rejects(ledger.record(observation('e4', [restart(4, 4)]), rule), {
    code: 'redis-unavailable',
    retryable: true,
  });
  await t.rejects(ledger.takeResolved(10), { code: 'redis-unavailable', retryable: true });
  await t.rejects(ledger.openLoops(), { code: 'redis-unavailable', retryable: true });

  await server.start();
  const decision = await eventually(() =>
    ledger.record(observation('e4', [restart(4, 4)]), rule).catch(() => undefined),
  );
  t.match(decision, { action: 'none', recorded: { restarts: 1 } });
});
