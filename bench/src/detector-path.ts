/**
 * A full quorum queue of allocation events, one of a hundred with its crashes → detector and Redis, against a bare
 * consumer of the same queue.
 */
import { startPrivateRabbitMq } from '@hydrant/testing/private-rabbitmq';
import { startPrivateRedis } from '@hydrant/testing/private-redis';
import { bindQueue, fillQueues } from './broker.ts';
import { startChild } from './child.ts';
import { rateOf, readMetric, type Measurement, type Path } from './measure.ts';
import { freePort, startService } from './service.ts';

const events = 100_000;

async function measureFloor(): Promise<Measurement> {
  const [broker, redis] = await Promise.all([startPrivateRabbitMq({ exclusive: true }), startPrivateRedis()]);
  const queue = await bindQueue(broker.url, 'bare');
  await fillQueues(broker.url, redis.url, events);
  const consumer = startChild('bench/dist/floors/bare-consumer.js', [broker.url, 'bare', String(events)]);
  const eventsPerSecond = Number(await consumer.line(() => true));
  await Promise.all([consumer.stop(), queue.remove()]);
  await Promise.all([broker.close(), redis.close()]);
  return { eventsPerSecond, peakMemory: {} };
}

async function measure(): Promise<Measurement> {
  const [broker, redis] = await Promise.all([startPrivateRabbitMq({ exclusive: true }), startPrivateRedis()]);
  const settings = { AMQP_CONNECTION: broker.url, REDIS_URL: redis.url };
  // The first makes the queue.
  await (await startService('hydrant-crashloop-detector', await freePort(), settings)).stop();
  await fillQueues(broker.url, redis.url, events);
  const port = await freePort();
  const detector = await startService('hydrant-crashloop-detector', port, settings);
  const eventsPerSecond = await rateOf(events, () => readMetric(port, 'hydrant_crashloop_detector_events_total'));
  const [peak, cpu] = [await detector.peakMemory(), await detector.cpuSeconds()];
  await detector.stop();
  await Promise.all([broker.close(), redis.close()]);
  return { eventsPerSecond, peakMemory: { detector: peak }, cpuSecondsPer100k: (cpu / events) * 100_000 };
}

export function createDetectorPath(): Path {
  return { name: 'detector', target: 0.5, floorName: 'bare consumer', measure, measureFloor };
}
