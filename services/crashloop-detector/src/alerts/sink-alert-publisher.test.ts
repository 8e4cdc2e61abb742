import t, { type Test } from 'tap';
import { permanent, type Batch, type Sink } from '@hydrant/shared/delivery/sink';
import { systemClock, type Clock } from '@hydrant/shared/foundation/clock';
import { makeAlertMessage } from '@hydrant/shared/messages/alert-message';
import { eventually } from '@hydrant/testing/eventually';
import { testLog } from '@hydrant/testing/test-log';
import { SinkAlertPublisher } from './sink-alert-publisher.ts';

const never = new AbortController().signal;
const message = makeAlertMessage(
  {
    lastEvent: '{}',
    eventLog: [],
    id: 'a',
    status: 'opened',
    cluster: 'c',
    namespace: 'default',
    count: 1,
    interval: '10m',
    reasons: [],
    exitCodes: [],
    oomKilled: false,
    firstCrash: '',
    lineage: [],
    nextStep: '',
  },
  { messageId: 'a/1', routingKey: 'crash-loop', timestampMs: 0 },
);

async function startPublisher(t: Test, changes: Partial<Sink>, clock: Clock = systemClock) {
  const sink: Sink = {
    connect: () => Promise.resolve(),
    write: () => Promise.resolve(),
    healthcheck: () => Promise.resolve(),
    close: () => Promise.resolve(),
    ...changes,
  };
  const publisher = new SinkAlertPublisher({ sink, timeoutMs: 10_000, log: testLog(), clock });
  await publisher.start();
  t.teardown(() => publisher.stop(AbortSignal.abort()));
  return publisher;
}

t.test('an alert is one batch, one at a time', async (t) => {
  let writing = 0;
  const written: Batch[] = [];
  const publisher = await startPublisher(t, {
    async write(batch) {
      writing += 1;
      t.equal(writing, 1);
      await new Promise((resolve) => setImmediate(resolve));
      writing -= 1;
      written.push(batch);
    },
  });
  await eventually(() => publisher.healthCheck.check().status === 'pass');

  t.same(await Promise.all([publisher.publish(message), publisher.publish(message)]), ['routed', 'routed']);
  t.same(written, [[message], [message]]);
});

t.test('until the sink is connected an alert is refused for now', async (t) => {
  let attempts = 0;
  const clock = { ...systemClock, sleep: () => new Promise<void>((resolve) => setImmediate(resolve)) };
  const publisher = await startPublisher(
    t,
    { connect: () => ((attempts += 1) < 3 ? Promise.reject(new Error('refused')) : Promise.resolve()) },
    clock,
  );

  await t.rejects(publisher.publish(message), { code: 'alert-sink-unavailable', retryable: true });
  await eventually(() => publisher.healthCheck.check().status === 'pass');
  t.equal(await publisher.publish(message), 'routed');
});

t.test('what the sink throws is passed on, and the next alert is tried', async (t) => {
  let isBroken = true;
  const publisher = await startPublisher(t, {
    write: () => (isBroken ? Promise.reject(permanent('Too large')) : Promise.resolve()),
  });
  await eventually(() => publisher.healthCheck.check().status === 'pass');

  await t.rejects(publisher.publish(message), { code: 'sink-permanent', retryable: false });
  t.match(publisher.healthCheck.check(), { status: 'fail', detail: 'Too large' });
  isBroken = false;
  t.equal(await publisher.publish(message), 'routed');
});

t.test('a write that hangs ends with the time limit or with the process', async (t) => {
  const timers: (() => void)[] = [];
  const clock: Clock = {
    ...systemClock,
    after: (_ms, action) => {
      timers.push(action);
      return { cancel: () => undefined };
    },
  };
  const hanging: Partial<Sink> = {
    write: (_batch, signal) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => {
          reject(new Error('aborted'));
        });
      }),
  };
  const publisher = await startPublisher(t, hanging, clock);
  await eventually(() => publisher.healthCheck.check().status === 'pass');

  const first = publisher.publish(message);
  (await eventually(() => timers[0]))();
  await t.rejects(first, { message: 'aborted' });
  const second = t.rejects(publisher.publish(message), { message: 'aborted' });
  await eventually(() => timers[1]);
  await publisher.stop(AbortSignal.abort());
  await second;
  await publisher.stop(never);
});
