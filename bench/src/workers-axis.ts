/**
 * Several sink-workers on one queue: before a destination as fast as they are, where the cores are the bound, and
 * before one that takes its time, where they are not.
 */
import { startPrivateRabbitMq } from '@hydrant/testing/private-rabbitmq';
import { startPrivateRedis } from '@hydrant/testing/private-redis';
import { fillQueues } from './broker.ts';
import type { Axis } from './measure.ts';
import { drainQueue, makeSinkQueue } from './queue-drain.ts';

const counts = [1, 2, 4];
const events = 60_000;
const delayMs = 20;
/** So that one worker brings 2,500 events a second to a destination that takes 20 ms. */
const slowSettings = { SINK_BATCH_EVENTS: '50', SINK_CONCURRENCY: '1' };

export function createWorkersAxis(): Axis {
  return {
    name: 'workers',
    what: `sink-workers on one full queue → HTTP; the slow destination takes ${String(delayMs)} ms for a request, of 50 events, one at a time from each worker`,
    columns: [
      'sink-workers',
      'to a fast destination, events/s',
      'CPU of all, s per 100,000 events',
      'to a slow destination, events/s',
      'largest VmHWM, MB',
    ],
    async *rows() {
      for (const workers of counts) {
        const [broker, redis] = await Promise.all([startPrivateRabbitMq({ exclusive: true }), startPrivateRedis()]);
        const shared = { brokerUrl: broker.url, events, workers };
        await makeSinkQueue(broker.url, 'fast');
        await makeSinkQueue(broker.url, 'slow');
        await fillQueues(broker.url, redis.url, events);
        const fast = await drainQueue({ ...shared, queue: 'fast', delayMs: 0, settings: {} });
        const slow = await drainQueue({ ...shared, queue: 'slow', delayMs, settings: slowSettings });
        await Promise.all([broker.close(), redis.close()]);
        yield [
          workers,
          fast.eventsPerSecond,
          (fast.cpuSeconds / events) * 100_000,
          slow.eventsPerSecond,
          Math.max(fast.peakMemory, slow.peakMemory) / 1_000_000,
        ];
      }
    },
  };
}
