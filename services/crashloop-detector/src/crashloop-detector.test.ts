import t from 'tap';
import { readAlertMessage } from '@hydrant/shared/messages/alert-message';
import { readRecordedList } from '@hydrant/testing/recordings';
import type { CrashloopDetectorOptions } from './crashloop-detector.ts';
import {
  FakeBus,
  allocationMessages,
  makeMessage,
  options,
  startDetector,
} from './crashloop-detector-cases-contract.ts';

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
