import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { Bus, Handler, PublishResult, Settlement, SubscriptionOptions } from '@hydrant/shared/bus/bus';
import { systemClock } from '@hydrant/shared/foundation/clock';
import { HydrantError } from '@hydrant/shared/foundation/errors';
import { forEachElement, forEachMember } from '@hydrant/shared/foundation/json-scanner';
import { readAlertMessage } from '@hydrant/shared/messages/alert-message';
import { makeEventMessage } from '@hydrant/shared/messages/event-message';
import type { Message } from '@hydrant/shared/messages/message';
import { readEventHead } from '@hydrant/shared/messages/nomad-event';
import { eventually } from '@hydrant/testing/eventually';
import { readRecordedList, readRecording } from '@hydrant/testing/recordings';
import { createFileStateStore } from '@hydrant/shared/state/file/file-state-store';
import { testFolder } from '@hydrant/testing/test-folder';
import { testLog } from '@hydrant/testing/test-log';
import { createBusAlertPublisher } from './alerts/bus-alert-publisher.ts';
import type { AlertPublisher } from './alerts/alert-publisher.ts';
import { createCrashloopDetector, type CrashloopDetectorOptions } from './crashloop-detector.ts';
import { manualClock, timedLedger } from './ledger/ledger-cases-contract.ts';
import type { Ledger } from './ledger/ledger.ts';
import { stateLimits } from './ledger/state-ledger.ts';
import type { DetectorTelemetry } from './telemetry.ts';

const never = new AbortController().signal;

/** A bus that hands messages straight to the one handler and keeps what is published. */
class FakeBus implements Bus {
  readonly name = 'fake';
  readonly healthChecks = [];
  readonly published: Message[] = [];
  subscribed: SubscriptionOptions | undefined;
  publishing: () => Promise<PublishResult> = () => Promise.resolve('routed');
  #handler: Handler | undefined;

  start(): Promise<void> {
    return Promise.resolve();
  }
  stop(): Promise<void> {
    return Promise.resolve();
  }
  hasQueue(): Promise<boolean> {
    return Promise.resolve(true);
  }

  async publish(message: Message): Promise<PublishResult> {
    const result = await this.publishing();
    this.published.push(message);
    return result;
  }

  subscribe(options: SubscriptionOptions, handler: Handler) {
    this.subscribed = options;
    this.#handler = handler;
    return Promise.resolve({
      pause: () => Promise.resolve(),
      release: () => Promise.resolve(),
      resume: () => Promise.resolve(),
      close: () => Promise.resolve(),
      held: 0,
    });
  }

  deliver(message: Message): Promise<Settlement> {
    if (this.#handler === undefined) throw new Error('Expected a subscription');
    return this.#handler({ message, redelivered: false, receivedAtMs: 0 });
  }
}

/** Telemetry that counts the calls. */
function countingTelemetry(): DetectorTelemetry & { readonly counts: Map<string, number> } {
  const counts = new Map<string, number>();
  const count = (name: string): void => {
    counts.set(name, (counts.get(name) ?? 0) + 1);
  };
  return {
    counts,
    eventReceived: (kind) => {
      count(kind);
    },
    eventRefused: () => {
      count('refused');
    },
    eventRetried: () => {
      count('retried');
    },
    eventSettled: () => undefined,
    decided: ({ action }) => {
      count(`decided ${action}`);
    },
    crashesMuted: () => {
      count('muted');
    },
    crashesToldTwice: () => {
      count('told twice');
    },
    alertPublished: (status) => {
      count(status);
    },
    alertUnrouted: () => {
      count('unrouted');
    },
    resolvedRefused: () => {
      count('resolved refused');
    },
    resolvedRetried: () => {
      count('resolved retried');
    },
    ledgerSized: () => undefined,
    partIgnored: () => {
      count('ignored');
    },
    clockBehind: () => {
      count('behind');
    },
    loopSilent: () => {
      count('silent');
    },
  };
}

const options: CrashloopDetectorOptions = {
  queue: 'hydrant.crashloop-detector',
  bindings: ['event.Allocation.#'],
  prefetch: 500,
  maxHeldBytes: 1_000_000,
  alertRoutingKey: 'crash-loop',
  resolvedRoutingKey: 'crash-loop-resolved',
  notifyResolved: true,
  groupBy: 'lineage',
  rule: { count: 5, intervalMs: 600_000, notificationIntervalMs: 600_000 },
  overrides: [],
  retryMinMs: 1,
  retryMaxMs: 2,
};

interface Parts {
  readonly options?: Partial<CrashloopDetectorOptions>;
  readonly ledger?: (real: Ledger) => Ledger;
  readonly alertPublisher?: AlertPublisher;
}

async function startDetector(t: Test, parts: Parts = {}) {
  const bus = new FakeBus();
  const clock = manualClock(0);
  const store = createFileStateStore({
    path: join(testFolder(t, {}), 'state.ndjson'),
    limits: stateLimits(1000),
    log: testLog(),
    clock,
  });
  await store.start(never);
  const ledger = timedLedger(store, clock);
  const telemetry = countingTelemetry();
  const detector = createCrashloopDetector({
    options: { ...options, ...parts.options },
    bus,
    ledger: parts.ledger?.(ledger) ?? ledger,
    alertPublisher: parts.alertPublisher ?? createBusAlertPublisher(bus),
    telemetry,
    log: testLog(),
    clock: systemClock,
  });
  await detector.start(never);
  t.teardown(async () => {
    await detector.stop(never);
    await store.stop(never);
  });
  return { bus, telemetry, detector };
}

/** The messages that a firehose would make of a recording's events, in order. */
async function recordedMessages(): Promise<Message[]> {
  const messages: Message[] = [];
  for (const line of await readRecording('crashing-cluster')) {
    forEachMember(line, 0, (member, at) => {
      if (member !== 'Events') return;
      forEachElement(line, at, (from, to) => {
        messages.push(makeMessage(line.subarray(from, to)));
      });
    });
  }
  return messages;
}

function makeMessage(body: Buffer, origin: 'stream' | 'snapshot' = 'stream'): Message {
  const { topic, type, key, namespace, index } = readEventHead(body, 0, body.length);
  const id = `eu/${index}/${topic}/${namespace}/${key}/0`;
  return makeEventMessage({
    cluster: 'eu',
    region: 'global',
    index,
    origin,
    timestampMs: 0,
    id,
    routingKey: `event.${topic}.${type}.${namespace}._`,
    topic,
    type,
    body,
  });
}

async function allocationMessages(): Promise<Message[]> {
  return (await recordedMessages()).filter(({ type }) => type.startsWith('nomad.Allocation.'));
}

/** `opened checkout-api`, sorted. */
function announced(bus: FakeBus): string[] {
  return bus.published
    .map((message) => {
      const { status, lastEvent } = readAlertMessage(message);
      return `${status} ${(JSON.parse(lastEvent) as { JobID: string }).JobID}`;
    })
    .sort();
}

const fiveLoops = [
  'opened billing-sync',
  'opened checkout-api',
  'opened geo-index',
  'opened node-agent',
  'opened thumbnailer',
];

t.test('the recording opens exactly the five loops that it is known to hold', async (t) => {
  const { bus, telemetry } = await startDetector(t);

  const actions = new Set<string>();
  for (const message of await allocationMessages()) actions.add((await bus.deliver(message)).action);

  t.same(actions, new Set(['ack']));
  t.same(announced(bus), fiveLoops);
  t.match(bus.subscribed, {
    name: 'hydrant.crashloop-detector',
    bindings: ['event.Allocation.#'],
    prefetch: 500,
    consumer: 'crashloop-detector',
  });
  const geoIndex = bus.published.map(readAlertMessage).find(({ lastEvent }) => lastEvent.includes('geo-index'));
  t.match(geoIndex, { count: 5, exitCodes: [], nextStep: /^nomad alloc status / });
  t.equal(geoIndex?.lineage.length, 5, 'five allocations, one lineage');
  t.equal(telemetry.counts.get('opened'), 5);
});

t.test('many at once, each twice and in any order nearby, they are announced once', async (t) => {
  for (const width of [1, 8, 40]) {
    const { bus } = await startDetector(t);
    const messages = (await allocationMessages()).flatMap((message) => [message, message]);
    const shuffled = messages
      .map((message, index) => ({ message, at: index + ((index * 7919) % width) }))
      .sort((a, b) => a.at - b.at)
      .map(({ message }) => message);

    const settlements = [];
    for (let from = 0; from < shuffled.length; from += 100)
      settlements.push(...(await Promise.all(shuffled.slice(from, from + 100).map((message) => bus.deliver(message)))));

    t.same(announced(bus), fiveLoops, `moved by up to ${width}`);
    t.same(new Set(settlements.map(({ action }) => action)), new Set(['ack']));
  }
});

t.test("a queue that gets nomad-firehose's messages beside the events is noticed once", async (t) => {
  const { bus, telemetry } = await startDetector(t);
  const messages = (await allocationMessages()).filter(({ body }) => body.includes('"Restart within policy"'));
  const formers = messages.flatMap(({ body }) => {
    const {
      Payload: {
        Allocation: { ID, Name, JobID, TaskStates },
      },
    } = JSON.parse(body.toString()) as {
      Payload: {
        Allocation: {
          ID: string;
          Name: string;
          JobID: string;
          TaskStates: Record<string, { Events: { Type: string }[] }>;
        };
      };
    };
    return Object.entries(TaskStates).flatMap(([task, { Events: events }]) =>
      events
        .filter(({ Type: type }) => type === 'Restarting')
        .map((event) => ({ Name, AllocationID: ID, JobID, TaskName: task, TaskEvent: event })),
    );
  });

  for (const former of formers.slice(0, 1))
    await bus.deliver({
      id: '',
      routingKey: 'allocations',
      type: '',
      contentType: 'application/json',
      appId: '',
      timestampMs: 0,
      headers: {},
      body: Buffer.from(JSON.stringify(former)),
    });
  for (const message of messages) await bus.deliver(message);
  t.equal(telemetry.counts.get('told twice'), undefined, 'one after the other');
  for (const former of formers)
    await bus.deliver({
      id: '',
      routingKey: 'allocations',
      type: '',
      contentType: 'application/json',
      appId: '',
      timestampMs: 0,
      headers: {},
      body: Buffer.from(JSON.stringify(former)),
    });

  t.equal(telemetry.counts.get('told twice'), 1);
});

t.test('a snapshot of the cluster proves what its lists show', async (t) => {
  const { bus } = await startDetector(t, { options: { rule: { ...options.rule, count: 3 } } });

  for (const allocation of await readRecordedList('crashing-cluster', 'allocations')) {
    const body = {
      Topic: 'Allocation',
      Type: 'Snapshot',
      Key: allocation['ID'],
      Namespace: allocation['Namespace'],
      FilterKeys: [],
      Index: allocation['ModifyIndex'],
      Payload: { Allocation: allocation },
    };
    await bus.deliver(makeMessage(Buffer.from(JSON.stringify(body)), 'snapshot'));
  }

  t.same(announced(bus), [...fiveLoops, 'opened ledger'].sort(), 'with the job that the stream did not show');
});

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

t.test('grouped by name, the tasks of an allocation count together', async (t) => {
  const { bus } = await startDetector(t, { options: { groupBy: 'name' } });

  for (const message of await allocationMessages()) await bus.deliver(message);

  t.same(announced(bus), fiveLoops);
});

t.test('a task with a rule of its own is announced by it, a muted one never', async (t) => {
  const strict = { count: 400, intervalMs: 3_600_000, notificationIntervalMs: 0 };
  const overrides: CrashloopDetectorOptions['overrides'] = [
    {
      matches: ({ job, group, task }) => `${job} ${group} ${task}` === 'geo-index index index',
      isMuted: true,
      rule: options.rule,
    },
    { matches: ({ job }) => job === 'thumbnailer', isMuted: false, rule: strict },
  ];
  const { bus, telemetry } = await startDetector(t, { options: { overrides } });

  for (const message of await allocationMessages()) await bus.deliver(message);

  t.same(
    announced(bus).filter((alert) => alert.startsWith('opened')),
    fiveLoops.filter((alert) => !alert.includes('geo-index')),
  );
  const thumbnailer = bus.published
    .map(readAlertMessage)
    .find(({ status, lastEvent }) => status === 'opened' && lastEvent.includes('thumbnailer'));
  t.match(thumbnailer, { count: 400, interval: '1h' });
  t.ok((telemetry.counts.get('muted') ?? 0) >= 14, 'its failed allocations are counted');
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
