/**
 * A full quorum queue of nomad-firehose's messages, each with a restart → detector and Redis, against one bare EVALSHA
 * for each restart.
 */
import { startPrivateRabbitMq } from '@hydrant/testing/private-rabbitmq';
import { startPrivateRedis } from '@hydrant/testing/private-redis';
import { startChild } from './child.ts';
import { rateOf, readMetric, type Measurement, type Path } from './measure.ts';
import { publishRestarts } from './nomad-firehose-messages.ts';
import { freePort, startService } from './service.ts';

const messages = 150_000;
/** Each becomes a crash loop, so one message of 150 makes an alert. */
const allocations = 1000;

export async function measureBareEvalsha(crashes: number, of: number): Promise<Measurement> {
  const redis = await startPrivateRedis();
  const client = startChild('bench/dist/floors/bare-evalsha.js', [redis.url, String(crashes), String(of)]);
  const eventsPerSecond = Number(await client.line(() => true));
  await client.stop();
  await redis.close();
  return { eventsPerSecond, peakMemory: {} };
}

async function measure(): Promise<Measurement> {
  const [broker, redis] = await Promise.all([startPrivateRabbitMq({ exclusive: true }), startPrivateRedis()]);
  const settings = { AMQP_CONNECTION: broker.url, REDIS_URL: redis.url, AMQP_BINDINGS: 'allocations' };
  // The first makes the queue.
  await (await startService('hydrant-crashloop-detector', await freePort(), settings)).stop();
  await publishRestarts(broker.url, messages, allocations);
  const port = await freePort();
  const detector = await startService('hydrant-crashloop-detector', port, settings);
  const eventsPerSecond = await rateOf(messages, () => readMetric(port, 'hydrant_crashloop_detector_events_total'));
  const [peak, cpu] = [await detector.peakMemory(), await detector.cpuSeconds()];
  await detector.stop();
  await Promise.all([broker.close(), redis.close()]);
  return { eventsPerSecond, peakMemory: { detector: peak }, cpuSecondsPer100k: (cpu / messages) * 100_000 };
}

export function createDetectorNfhPath(): Path {
  return {
    name: 'detector-nfh',
    target: 0.6,
    atLeastPerSecond: 38_000,
    floorName: 'bare EVALSHA',
    measure,
    measureFloor: () => measureBareEvalsha(messages, allocations),
  };
}
