import { recordingLog } from '@hydrant/testing/test-log';
import { eventually } from '@hydrant/testing/eventually';
import t from 'tap';
import { systemClock } from '../foundation/clock.ts';
import { loadConfig } from '../runtime/config/load-config.ts';
import { createMetrics } from '../runtime/telemetry/metrics.ts';
import { Batcher, type BatchLimits } from './batcher.ts';
import { createDelivery } from './delivery.ts';
import { deliveryProblems, deliverySettings, resolveDelivery, type DeliveryOptions } from './delivery-settings.ts';
import { createDeliveryTelemetry } from './delivery-telemetry.ts';
import type { Sink, SinkDefinition } from './sink.ts';
import { ManualClock, makeMessage, never, options, setStage, settled } from './delivery-cases-contract.ts';

/** A write that ends when the test says so. */
function heldWrites(): {
  readonly write: Sink['write'];
  readonly release: (() => void)[];
  readonly most: () => number;
} {
  const release: (() => void)[] = [];
  let running = 0;
  let most = 0;
  return {
    release,
    most: () => most,
    async write() {
      running += 1;
      most = Math.max(most, running);
      await new Promise<void>((resolve) => {
        release.push(resolve);
      });
      running -= 1;
    },
  };
}

void t.test('a batch is complete by count, by bytes or by age', (t) => {
  const base: BatchLimits = { maxEvents: 3, maxBytes: 100, maxAgeMs: 50 };
  const cases: readonly {
    readonly limits?: Partial<BatchLimits>;
    readonly sizes: readonly number[];
    readonly waitMs?: number;
    readonly batches: readonly (readonly number[])[];
  }[] = [
    { sizes: [1, 2, 3, 4], batches: [[1, 2, 3]] },
    { sizes: [60, 30, 20], batches: [[60, 30]] },
    { sizes: [60, 40, 1], batches: [[60, 40]] },
    { sizes: [10, 500, 20], batches: [[10], [500]] },
    { sizes: [1, 2], waitMs: 49, batches: [] },
    { sizes: [1, 2], waitMs: 50, batches: [[1, 2]] },
    { limits: { maxEvents: null }, sizes: [1, 2, 3, 4, 5], batches: [] },
    { limits: { maxEvents: 1 }, sizes: [1, 2], batches: [[1], [2]] },
  ];
  for (const { limits, sizes, waitMs = 0, batches } of cases) {
    const clock = new ManualClock();
    const got: (readonly number[])[] = [];
    const batcher = new Batcher<number>({ ...base, ...limits }, clock, (items) => got.push(items));
    for (const size of sizes) batcher.add(size, size);
    clock.advance(waitMs);
    t.same(got, batches, JSON.stringify(sizes));
  }
  t.end();
});

void t.test('the age of a batch is that of its first message', (t) => {
  const clock = new ManualClock();
  const got: (readonly string[])[] = [];
  const batcher = new Batcher<string>({ maxEvents: 2, maxBytes: 100, maxAgeMs: 50 }, clock, (items) => got.push(items));

  batcher.add('a', 1);
  batcher.add('b', 1);
  clock.advance(30);
  batcher.add('c', 1);
  clock.advance(30);
  t.same(got, [['a', 'b']]);
  clock.advance(20);
  t.same(got, [['a', 'b'], ['c']]);
  batcher.flush();
  t.equal(got.length, 2);
  t.end();
});

void t.test('settings resolve to those of the sink, and prefetch covers the batches in flight', (t) => {
  const sink: SinkDefinition<Record<string, never>> = {
    type: 'here',
    settings: {},
    defaults: { batchEvents: 500, batchBytes: 1000, batchAgeMs: 50 },
    create: () => {
      throw new Error('not made here');
    },
  };
  const cases: readonly (readonly [
    Record<string, string>,
    Partial<SinkDefinition<Record<string, never>>>,
    Partial<DeliveryOptions>,
  ])[] = [
    [
      {},
      {},
      {
        name: 'here',
        batchEvents: 500,
        batchBytes: 1000,
        batchAgeMs: 50,
        concurrency: 4,
        poisonAfterMs: 300_000,
        prefetch: 2500,
      },
    ],
    [
      { SINK_NAME: 'archive', SINK_BATCH_EVENTS: '10', SINK_BATCH_AGE: '2s', SINK_BATCH_BYTES: '1MiB' },
      {},
      { name: 'archive', batchEvents: 10, batchBytes: 1_048_576, batchAgeMs: 2000, prefetch: 50 },
    ],
    [{ SINK_CONCURRENCY: '8' }, { maxConcurrency: 1 }, { concurrency: 1, poisonAfterMs: 0, prefetch: 1000 }],
    [{ SINK_WORKER_COUNT: '2' }, {}, { concurrency: 2, prefetch: 1500 }],
    [{ SINK_AMQP_WORKERS: '3' }, {}, { concurrency: 3 }],
    [{ SINK_MONGODB_WORKERS: '3' }, {}, { concurrency: 3 }],
    [{}, { defaults: { ...sink.defaults, batchEvents: null } }, { batchEvents: null, prefetch: 65_535 }],
    [{ SINK_CONCURRENCY: '1000' }, {}, { prefetch: 65_535 }],
  ];
  for (const [env, changes, expected] of cases) {
    const resolved = resolveDelivery(
      loadConfig(deliverySettings, { env: { SINK_TYPE: 'here', ...env } }),
      { ...sink, ...changes },
      {},
    );
    t.match(resolved, expected, JSON.stringify(env));
    t.equal(resolved.encodedBytes(makeMessage('a')), 8);
  }
  t.end();
});

void t.test('settings that cannot work are refused together', (t) => {
  const env = {
    SINK_TYPE: 'http',
    SINK_NAME: 'a/b',
    SINK_RETRY_MIN: '0s',
    SINK_TIMEOUT: '0s',
    SINK_CONCURRENCY: '0',
    SINK_POISON_AFTER: '11m',
  };
  const load = (changes: Record<string, string>): unknown =>
    loadConfig(deliverySettings, { env: changes, check: deliveryProblems });
  for (const name of ['SINK_NAME', 'SINK_RETRY_MIN', 'SINK_TIMEOUT', 'SINK_CONCURRENCY', 'SINK_POISON_AFTER'])
    t.throws(() => load(env), { message: new RegExp(`Expected \`${name}\``, 'u') });
  t.throws(() => load({ SINK_TYPE: 'http', SINK_RETRY_MIN: '1m' }), {
    message: 'Expected `SINK_RETRY_MIN` to be at most `SINK_RETRY_MAX`, got 1m and 30s',
  });
  t.end();
});

void t.test('at most so many batches are in flight, and one keeps the order', async (t) => {
  for (const concurrency of [1, 3]) {
    const held = heldWrites();
    const { delivery, hand, settlements, writes } = setStage(held, { concurrency, batchEvents: 1 });
    await delivery.start(never);

    hand('abcdefgh');
    for (let done = 0; done < 8; done += 1) (await eventually(() => held.release[done]))();
    await settled();

    t.equal(held.most(), concurrency);
    t.equal(writes.join(''), 'abcdefgh');
    t.equal(Object.keys(settlements).length, 8);
  }
});

void t.test('batches wait until the sink is connected', async (t) => {
  let isUp = false;
  const { delivery, hand, writes, clock } = setStage({
    connect: async () => {
      if (!isUp) throw new Error('no route');
    },
  });
  const starting = delivery.start(never);
  hand('abc');
  await settled();
  t.same(writes, []);
  t.same(delivery.healthCheck.check(), { status: 'fail', detail: 'no route' });

  isUp = true;
  clock.advance(1000);
  await starting;
  await settled();
  t.same(writes, ['abc']);
  t.same(delivery.healthCheck.check(), { status: 'pass' });
});

void t.test("on the system's clock a thousand messages pass", async (t) => {
  const metrics = createMetrics({ service: 'test', version: '0' });
  let taken = 0;
  const sink: Sink = {
    connect: async () => undefined,
    write: async (batch) => {
      taken += batch.length;
    },
    healthcheck: async () => undefined,
    close: async () => undefined,
  };
  const delivery = createDelivery({
    sink,
    options: { ...options, batchEvents: 64, batchAgeMs: 5, concurrency: 16 },
    telemetry: createDeliveryTelemetry('here', { metrics, log: recordingLog().log, clock: systemClock }),
    clock: systemClock,
  });
  await delivery.start(never);

  const all = await Promise.all(
    Array.from({ length: 1000 }, (_, n) =>
      delivery.handle({ message: makeMessage(String(n)), redelivered: false, receivedAtMs: 0 }),
    ),
  );
  await delivery.stop(never);

  t.ok(all.every((settlement) => settlement.action === 'ack'));
  t.equal(taken, 1000);
});
