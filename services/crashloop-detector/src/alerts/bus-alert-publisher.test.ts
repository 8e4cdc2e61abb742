import t from 'tap';
import { createInProcessBus } from '@hydrant/shared/bus/in-process/in-process-bus';
import { systemClock } from '@hydrant/shared/foundation/clock';
import { makeAlertMessage } from '@hydrant/shared/messages/alert-message';
import { createMemorySpool } from '@hydrant/shared/spool/memory-spool';
import { eventually } from '@hydrant/testing/eventually';
import { testFolder } from '@hydrant/testing/test-folder';
import { testLog } from '@hydrant/testing/test-log';
import { createBusAlertPublisher } from './bus-alert-publisher.ts';

const never = new AbortController().signal;
const alert = makeAlertMessage(
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

t.test(
  'an alert goes out though the log is full of what the detector has not settled: else the two would wait for each other',
  { timeout: 10_000 },
  async (t) => {
    const bus = createInProcessBus({
      spool: createMemorySpool({ maxBytes: 5_000 }),
      deadLetterDir: testFolder(t),
      log: testLog(),
      clock: systemClock,
    });
    t.teardown(() => bus.stop(AbortSignal.abort()));
    await bus.start(never);
    const publisher = createBusAlertPublisher(bus);
    const results: string[] = [];
    await bus.subscribe(
      {
        name: 'hydrant.crashloop-detector',
        bindings: ['event.#'],
        prefetch: 1,
        maxHeldBytes: 1_000_000,
        consumer: 'test',
      },
      async () => {
        results.push(await publisher.publish(alert));
        return { action: 'ack' };
      },
      never,
    );
    const event = { ...alert, routingKey: 'event.Allocation.x.y.z', body: Buffer.alloc(1000) };

    await Promise.all(Array.from({ length: 50 }, (_, index) => bus.publish({ ...event, id: String(index) })));

    await eventually(() => results.length === 50);
    t.same([...new Set(results)], ['unrouted']);
  },
);
