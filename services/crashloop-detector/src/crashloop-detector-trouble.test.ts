import t from 'tap';
import type { PublishResult, Settlement } from '@hydrant/shared/bus/bus';
import { systemClock } from '@hydrant/shared/foundation/clock';
import { HydrantError } from '@hydrant/shared/foundation/errors';
import type { Message } from '@hydrant/shared/messages/message';
import { eventually } from '@hydrant/testing/eventually';
import { testLog } from '@hydrant/testing/test-log';
import { createBusAlertPublisher } from './alerts/bus-alert-publisher.ts';
import { createCrashloopDetector } from './crashloop-detector.ts';
import type { Ledger } from './ledger/ledger.ts';
import {
  FakeBus,
  allocationMessages,
  countingTelemetry,
  never,
  options,
  recordedMessages,
  startDetector,
} from './crashloop-detector-cases-contract.ts';

async function firstCrash(): Promise<Message> {
  const crash = (await allocationMessages()).find(({ body }) => body.includes('Restart within policy'));
  if (crash === undefined) throw new Error('Expected the recording to hold a crash');
  return crash;
}

/** A ledger that asks another; its methods are those of a plain object, to be replaced one by one. */
function forward(real: Ledger): Ledger {
  return {
    prepare: () => real.prepare(),
    record: (...args) => real.record(...args),
    confirm: (...args) => real.confirm(...args),
    takeResolved: (...args) => real.takeResolved(...args),
    confirmResolved: (...args) => real.confirmResolved(...args),
    openLoops: () => real.openLoops(),
    size: () => real.size(),
  };
}

t.test('the alert is out before its event is acknowledged', async (t) => {
  const { bus } = await startDetector(t, { options: { rule: { ...options.rule, count: 1 } } });
  let release: ((result: PublishResult) => void) | undefined;
  bus.publishing = () =>
    new Promise((resolve) => {
      release = resolve;
    });
  const crash = await firstCrash();

  let settled = false;
  const first = bus.deliver(crash).finally(() => {
    settled = true;
  });
  const copy = bus.deliver(crash);
  const publish = await eventually(() => release);
  t.equal(settled, false);
  publish('routed');

  t.same(await Promise.all([first, copy]), [{ action: 'ack' }, { action: 'ack' }]);
  t.equal(bus.published.length, 1, 'and a copy of the event waits for the same alert');
});

t.test('an alert that was refused for now is repeated under the same ids', async (t) => {
  const { bus, telemetry } = await startDetector(t, { options: { rule: { ...options.rule, count: 1 } } });
  const ids: string[] = [];
  const crash = await firstCrash();
  bus.publishing = () =>
    Promise.reject(new HydrantError('The broker is away', { code: 'bus-unavailable', retryable: true }));

  t.match(await bus.deliver(crash), { action: 'retry', afterMs: Number });
  bus.publishing = () => Promise.resolve('unrouted');
  t.same(await bus.deliver(crash), { action: 'ack' });
  t.same(await bus.deliver(crash), { action: 'ack' });

  ids.push(...bus.published.map(({ id }) => id));
  t.equal(ids.length, 1);
  t.match(Object.fromEntries(telemetry.counts), { retried: 1, unrouted: 1 });
});

t.test('while the ledger is away events are kept and tried again', async (t) => {
  let isAway = true;
  const away = new HydrantError('Redis is away', { code: 'redis-unavailable', retryable: true });
  const { bus } = await startDetector(t, {
    ledger: (real) => ({
      ...forward(real),
      record: (...args) => (isAway ? Promise.reject(away) : real.record(...args)),
    }),
  });
  const crash = await firstCrash();

  t.match(await bus.deliver(crash), { action: 'retry' });
  isAway = false;
  t.same(await bus.deliver(crash), { action: 'ack' });
});

t.test('a ledger of a newer version is refused at the start, and one that is away is not', async (t) => {
  const newer = new HydrantError('Expected an older format', { code: 'state-format-newer', retryable: true });
  await t.rejects(
    startDetector(t, { ledger: (real) => ({ ...forward(real), prepare: () => Promise.reject(newer) }) }),
    newer,
  );

  let attempts = 0;
  const away = new HydrantError('Redis is away', { code: 'redis-unavailable', retryable: true });
  const { bus } = await startDetector(t, {
    ledger: (real) => ({
      ...forward(real),
      prepare: () => ((attempts += 1) < 3 ? Promise.reject(away) : Promise.resolve()),
    }),
  });
  t.same(await bus.deliver(await firstCrash()), { action: 'ack' });
});

t.test('an alert that its destination refuses for good leaves its event among the dead letters', async (t) => {
  const alertPublisher = {
    publish: () => Promise.reject(new HydrantError('Too large', { code: 'sink-permanent', retryable: false })),
  };
  const { bus } = await startDetector(t, { options: { rule: { ...options.rule, count: 1 } }, alertPublisher });

  t.same(await bus.deliver(await firstCrash()), { action: 'dead-letter', reason: 'Too large' });
});

t.test('what is no allocation event is set aside', async (t) => {
  const { bus, telemetry } = await startDetector(t);
  const crash = await firstCrash();
  const job = (await recordedMessages()).find(({ type }) => type.startsWith('nomad.Job.'));
  if (job === undefined) throw new Error('Expected the recording to hold a Job event');
  const cases: [name: string, message: Message, action: Settlement['action']][] = [
    ['an event of another topic', job, 'ack'],
    ['a message that is no event', { ...crash, type: 'greeting' }, 'dead-letter'],
    ['a body that is no JSON', { ...crash, body: Buffer.from('hello') }, 'dead-letter'],
    ['an empty body', { ...crash, body: Buffer.alloc(0) }, 'dead-letter'],
    [
      'a body that only begins and ends like JSON',
      { ...crash, body: Buffer.from('{"Type":"Restarting" ... }') },
      'dead-letter',
    ],
    [
      'an event without the fields',
      { ...crash, body: Buffer.from('{"Topic":"Allocation","Payload":{"Allocation":{"Type":"Restarting"}}}') },
      'dead-letter',
    ],
  ];

  for (const [name, message, action] of cases) t.equal((await bus.deliver(message)).action, action, name);
  t.match(Object.fromEntries(telemetry.counts), { foreign: 1, refused: 5 });
});

t.test('the subscription is tried until it stands, and stopping ends that', async (t) => {
  const bus = new FakeBus();
  let attempts = 0;
  bus.subscribe = () => {
    attempts += 1;
    return Promise.reject(new Error('refused'));
  };
  const unused = { ...forward({} as Ledger), prepare: () => Promise.resolve() };
  const clock = { ...systemClock, sleep: () => new Promise<void>((resolve) => setImmediate(resolve)) };
  const detector = createCrashloopDetector({
    options,
    bus,
    ledger: unused,
    alertPublisher: createBusAlertPublisher(bus),
    telemetry: countingTelemetry(),
    log: testLog(),
    clock,
  });

  await detector.start(never);
  await eventually(() => attempts > 3);
  await detector.stop(never);
  await detector.stop(never);

  const after = attempts;
  await new Promise((resolve) => setImmediate(resolve));
  t.equal(attempts, after);
});
