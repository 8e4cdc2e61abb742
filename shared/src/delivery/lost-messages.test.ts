/** What becomes of messages that have gone back to their queue while the delivery had them. */
import { eventually } from '@hydrant/testing/eventually';
import { recordingLog } from '@hydrant/testing/test-log';
import t from 'tap';
import type { Settlement } from '../bus/bus.ts';
import { systemClock } from '../foundation/clock.ts';
import type { Message } from '../messages/message.ts';
import { createMetrics } from '../runtime/telemetry/metrics.ts';
import { createDelivery } from './delivery.ts';
import { createDeliveryTelemetry } from './delivery-telemetry.ts';
import { retryable, type Sink } from './sink.ts';

const never = new AbortController().signal;

function makeMessage(id: string): Message {
  return {
    id,
    routingKey: 'event',
    type: 'test',
    contentType: 'application/json',
    appId: 'test',
    timestampMs: 0,
    headers: {},
    body: Buffer.from('{}'),
  };
}

/** A delivery of three messages a batch, which fills for ever, one batch at a time. */
async function startDelivery(write: Sink['write']) {
  const writes: string[] = [];
  const settlements: (readonly [string, Settlement['action']])[] = [];
  const sink: Sink = {
    connect: () => Promise.resolve(),
    healthcheck: () => Promise.resolve(),
    close: () => Promise.resolve(),
    write(batch, signal) {
      writes.push(batch.map(({ id }) => id).join(''));
      return write(batch, signal);
    },
  };
  const options = {
    name: 'here',
    batchEvents: 3,
    batchBytes: 1e6,
    batchAgeMs: 3_600_000,
    concurrency: 1,
    timeoutMs: 60_000,
    maxHeldBytes: 1e6,
    prefetch: 100,
    retry: { minMs: 1, maxMs: 2, forMs: 0 },
    pauseAfterMs: 3_600_000,
    poisonAfterMs: 0,
    encodedBytes: () => 10,
  };
  const telemetry = createDeliveryTelemetry('here', {
    metrics: createMetrics({ service: 'test', version: '0' }),
    log: recordingLog().log,
    clock: systemClock,
  });
  const delivery = createDelivery({ sink, options, telemetry, clock: systemClock });
  await delivery.start(never);
  const hand = (names: string, lost: AbortSignal): void => {
    for (const name of names) {
      void delivery
        .handle({ message: makeMessage(name), redelivered: false, receivedAtMs: 0, lost })
        .then(({ action }) => {
          settlements.push([name, action]);
        });
    }
  };
  return { delivery, writes, settlements, hand };
}

void t.test(
  'what has gone back to its queue leaves the batch that fills, and is written once, when it has come again',
  async (t) => {
    const { delivery, writes, settlements, hand } = await startDelivery(() => Promise.resolve());
    const [channel, next] = [new AbortController(), new AbortController()];
    hand('ab', channel.signal);

    channel.abort();
    await eventually(() => settlements.length === 2);
    hand('ab', next.signal);
    hand('c', next.signal);
    await eventually(() => settlements.length === 5);

    t.same(writes, ['abc']);
    t.same(settlements, [
      ['a', 'retry'],
      ['b', 'retry'],
      ['a', 'ack'],
      ['b', 'ack'],
      ['c', 'ack'],
    ]);
    t.match(
      await delivery.handle({ message: makeMessage('d'), redelivered: false, receivedAtMs: 0, lost: channel.signal }),
      { action: 'retry' },
      'nor does it come in',
    );
    await delivery.stop(never);
  },
);

void t.test('what has gone back to its queue is not tried again, what stays is', async (t) => {
  let isDown = true;
  const { delivery, writes, settlements, hand } = await startDelivery(() =>
    isDown ? Promise.reject(retryable('away')) : Promise.resolve(),
  );
  const [channel, other] = [new AbortController(), new AbortController()];
  hand('ab', channel.signal);
  hand('c', other.signal);
  hand('def', channel.signal);
  await eventually(() => writes.includes('abc'));

  channel.abort();
  isDown = false;
  await eventually(() => settlements.length === 6);

  t.same(
    writes.filter((ids) => ids !== 'abc'),
    ['c'],
  );
  t.same(Object.fromEntries(settlements), { a: 'retry', b: 'retry', c: 'ack', d: 'retry', e: 'retry', f: 'retry' });
  await delivery.stop(never);
});
