/**
 * A full quorum queue → sink-worker → an HTTP sink that takes 20 ms for each request, four at a time, against what that sink can take: four bare clients that
 * post the same bodies one after the other. With batches of 50 the sink is the slowest part (10,000 events/s); with batches of 500 it would take more than any
 * worker has, and the row is only for reading.
 */
import { request } from 'undici';
import { startPrivateRabbitMq } from '@hydrant/testing/private-rabbitmq';
import { startPrivateRedis } from '@hydrant/testing/private-redis';
import { fillQueues } from './broker.ts';
import { startReceiver } from './destination.ts';
import { rateOf, type Measurement, type Path } from './measure.ts';
import { readRecordedEvents } from './recorded-events.ts';
import { freePort, startService } from './service.ts';

const events = 50_000;
const delayMs = 20;
const concurrency = 4;

async function measureFloor(batchEvents: number): Promise<Measurement> {
  const receiver = await startReceiver(delayMs);
  const bodies = await readRecordedEvents('Allocation');
  const body = `[${Array.from({ length: batchEvents }, (_, n) => bodies[n % bodies.length]?.toString('utf8') ?? '{}').join(',')}]`;
  let left = events / batchEvents;
  const post = async (): Promise<void> => {
    while (left > 0) {
      left -= 1;
      await (await request(receiver.url, { method: 'POST', body })).body.dump();
    }
  };
  const startedAt = performance.now();
  await Promise.all(Array.from({ length: concurrency }, post));
  const eventsPerSecond = events / ((performance.now() - startedAt) / 1000);
  await receiver.stop();
  return { eventsPerSecond, peakMemory: {} };
}

async function measure(batchEvents: number): Promise<Measurement> {
  const [broker, redis, receiver] = await Promise.all([startPrivateRabbitMq({ exclusive: true }), startPrivateRedis(), startReceiver(delayMs)]);
  const settings = {
    AMQP_CONNECTION: broker.url, SINK_TYPE: 'http', SINK_HTTP_ADDRESS: receiver.url, SINK_BATCH_EVENTS: String(batchEvents), SINK_CONCURRENCY: String(concurrency),
  };
  // The first makes the queue.
  await (await startService('hydrant-sink-worker', await freePort(), settings)).stop();
  await fillQueues(broker.url, redis.url, events);
  const worker = await startService('hydrant-sink-worker', await freePort(), settings);
  const eventsPerSecond = await rateOf(events, () => receiver.count());
  const [peak, cpu] = [await worker.peakMemory(), await worker.cpuSeconds()];
  await Promise.all([worker.stop(), receiver.stop()]);
  await Promise.all([broker.close(), redis.close()]);
  return { eventsPerSecond, peakMemory: { 'sink-worker': peak }, cpuSecondsPer100k: (cpu / events) * 100_000 };
}

export function createSlowSinkPath(batchEvents: 50 | 500): Path {
  return {
    name: `slow-sink-${String(batchEvents)}`, target: batchEvents === 50 ? 0.9 : 0, floorName: '4 bare clients',
    measure: () => measure(batchEvents), measureFloor: () => measureFloor(batchEvents),
  };
}
