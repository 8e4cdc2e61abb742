/**
 * A message over which the destination breaks, for ever: it stops nothing and becomes a dead letter; an outage makes
 * none.
 */
import { eventually } from '@hydrant/testing/eventually';
import { recordingLog } from '@hydrant/testing/test-log';
import t, { type Test } from 'tap';
import type { Settlement } from '../bus/bus.ts';
import { systemClock } from '../foundation/clock.ts';
import type { Message } from '../messages/message.ts';
import { createMetrics } from '../runtime/telemetry/metrics.ts';
import { createDelivery, type SinkDelivery } from './delivery.ts';
import type { DeliveryOptions } from './delivery-settings.ts';
import { createDeliveryTelemetry } from './delivery-telemetry.ts';
import { doubtful, type Sink } from './sink.ts';

const never = new AbortController().signal;
const options: DeliveryOptions = {
  name: 'here',
  batchEvents: 10,
  batchBytes: 1e6,
  batchAgeMs: 1,
  concurrency: 2,
  timeoutMs: 60_000,
  maxHeldBytes: 1e6,
  prefetch: 100,
  retry: { minMs: 1, maxMs: 5, forMs: 0 },
  pauseAfterMs: 600_000,
  poisonAfterMs: 50,
  encodedBytes: () => 10,
};

function makeMessage(n: number): Message {
  return {
    id: String(n),
    routingKey: 'event.Job.JobRegistered.default.web',
    type: 'nomad.Job.JobRegistered',
    contentType: 'application/json',
    appId: 'test',
    timestampMs: 0,
    headers: {},
    body: Buffer.from('{}'),
  };
}

interface Stage {
  readonly delivery: SinkDelivery;
  readonly settlements: ReadonlyMap<number, Settlement>;
  readonly tries: () => number;
  hand(from: number, count: number): void;
}

/** The destination answers 500 to every batch with such a message. */
async function setStage(
  t: Test,
  isPoison: (n: number) => boolean,
  changes: Partial<DeliveryOptions> = {},
): Promise<Stage> {
  const settlements = new Map<number, Settlement>();
  let tries = 0;
  let running = 0;
  const concurrency = changes.concurrency ?? options.concurrency;
  const sink: Sink = {
    connect: async () => undefined,
    async write(batch) {
      tries += 1;
      running += 1;
      if (running > concurrency) t.fail('more at once than SINK_CONCURRENCY');
      await new Promise((resolve) => {
        setImmediate(resolve);
      });
      running -= 1;
      if (batch.some(({ id }) => isPoison(Number(id)))) throw doubtful('got 500');
    },
    healthcheck: async () => undefined,
    close: async () => undefined,
  };
  const metrics = createMetrics({ service: 'test', version: '0' });
  const delivery = createDelivery({
    sink,
    options: { ...options, ...changes },
    telemetry: createDeliveryTelemetry('here', { metrics, log: recordingLog().log, clock: systemClock }),
    clock: systemClock,
  });
  await delivery.start(never);
  t.teardown(() => delivery.stop(AbortSignal.abort()));
  return {
    delivery,
    settlements,
    tries: () => tries,
    hand(from, count) {
      for (let n = from; n < from + count; n += 1)
        void delivery.handle({ message: makeMessage(n), redelivered: false, receivedAtMs: 0 }).then((settlement) => {
          settlements.set(n, settlement);
        });
    },
  };
}

void t.test(
  'messages over which the destination breaks stop nothing and become dead letters while others are taken',
  async (t) => {
    const isPoison = (n: number): boolean => n < 1000 && n % 20 === 7;
    const { settlements, hand, delivery } = await setStage(t, isPoison);

    hand(0, 100);
    await eventually(() => settlements.size >= 95, { timeoutMs: 60_000, message: 'all others to be taken' });
    // What comes later shows that the destination works.
    let next = 1000;
    await eventually(
      () => {
        hand(next, 1);
        next += 1;
        return [...Array(100).keys()].every((n) => settlements.has(n));
      },
      { timeoutMs: 60_000, message: 'the dead letters' },
    );

    const dead = [...settlements].filter(([, { action }]) => action === 'dead-letter');
    t.same(
      dead.map(([n]) => n).sort((a, b) => a - b),
      [7, 27, 47, 67, 87],
    );
    for (const [, settlement] of dead)
      t.match(settlement, {
        reason: /^Failed \d+ times in a row while other messages were taken \(SINK_POISON_AFTER\): got 500$/u,
        attempts: Number,
      });
    t.equal(delivery.healthCheck.check().status, 'pass');
  },
);

void t.test(
  'while the destination answers 500 to everything nothing becomes a dead letter, however long',
  async (t) => {
    let isDown = true;
    const { settlements, hand, tries } = await setStage(t, () => isDown, { poisonAfterMs: 1 });

    hand(0, 100);
    await eventually(() => tries() > 300, { timeoutMs: 60_000, message: 'many tries' });
    t.equal(settlements.size, 0);
    isDown = false;
    await eventually(() => settlements.size === 100, { timeoutMs: 60_000, message: 'all to be taken' });

    t.ok([...settlements.values()].every(({ action }) => action === 'ack'));
  },
);

void t.test('one batch at a time keeps the order: what fails is waited for', async (t) => {
  let isBroken = true;
  const { settlements, hand, tries } = await setStage(t, (n) => isBroken && n === 3, {
    concurrency: 1,
    poisonAfterMs: 0,
  });

  hand(0, 20);
  await eventually(() => tries() > 50, { timeoutMs: 60_000, message: 'many tries' });
  t.equal(settlements.size, 0);
  isBroken = false;
  await eventually(() => settlements.size === 20, { timeoutMs: 60_000 });

  t.same(
    [...settlements.keys()],
    Array.from({ length: 20 }, (_, n) => n),
  );
});

void t.test('what is set aside goes back when the queue is left alone, and when it stops', async (t) => {
  for (const end of ['pause', 'stop'] as const) {
    const { delivery, settlements, hand } = await setStage(t, (n) => n === 3, { poisonAfterMs: 600_000 });
    hand(0, 40);
    await eventually(() => settlements.size === 39, { timeoutMs: 60_000 });
    await eventually(() => /Set aside.*: 1/u.test(delivery.healthCheck.check().detail ?? ''), { timeoutMs: 60_000 });

    await (end === 'pause' ? delivery.pause({ reason: 'test', downMs: 1 }) : delivery.stop(never));

    await eventually(() => settlements.size === 40);
    t.same(settlements.get(3), { action: 'retry', afterMs: 0 }, end);
  }
});
