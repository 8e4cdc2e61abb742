/**
 * Simulator → firehose → quorum queue, against a bare amqplib confirm publisher with the same bodies on the same
 * broker.
 */
import { startPrivateRabbitMq } from '@hydrant/testing/private-rabbitmq';
import { startPrivateRedis } from '@hydrant/testing/private-redis';
import { bindQueue } from './broker.ts';
import { startChild } from './child.ts';
import { freePort, startService } from './service.ts';
import { startLoad } from './load.ts';
import { readMetric, secondsUntil, type Measurement, type Path } from './measure.ts';

const events = 60_000;

async function measureFloor(): Promise<Measurement> {
  const broker = await startPrivateRabbitMq({ exclusive: true });
  const publisher = startChild('bench/dist/floors/bare-publisher.js', [broker.url, String(events)]);
  const eventsPerSecond = Number(await publisher.line(() => true));
  await publisher.stop();
  await broker.close();
  return { eventsPerSecond, peakMemory: {} };
}

async function measure(): Promise<Measurement> {
  const [broker, redis, load] = await Promise.all([
    startPrivateRabbitMq({ exclusive: true }),
    startPrivateRedis(),
    startLoad(events),
  ]);
  const queue = await bindQueue(broker.url, 'bench');
  const port = await freePort();
  const firehose = await startService('hydrant-firehose', port, {
    AMQP_CONNECTION: broker.url,
    REDIS_URL: redis.url,
    NOMAD_ADDR: load.url,
    FIREHOSE_TOPICS: 'Allocation',
  });
  const startedAt = performance.now();
  await load.begin();
  const seconds = await secondsUntil(events, startedAt, () =>
    readMetric(port, 'hydrant_firehose_events_published_total'),
  );
  const [peak, cpu] = [await firehose.peakMemory(), await firehose.cpuSeconds()];
  await firehose.stop();
  await Promise.all([load.stop(), queue.remove()]);
  await Promise.all([broker.close(), redis.close()]);
  return {
    eventsPerSecond: events / seconds,
    peakMemory: { firehose: peak },
    cpuSecondsPer100k: (cpu / events) * 100_000,
  };
}

export function createFirehosePath(): Path {
  return { name: 'firehose', target: 0.85, floorName: 'bare publisher', measure, measureFloor };
}
