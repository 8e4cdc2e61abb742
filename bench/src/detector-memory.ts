/**
 * What 100,000 lineages in the ledger, with a crash each, take: of Redis, and of the detector that put them there from
 * a full queue.
 */
import { startPrivateRabbitMq } from '@hydrant/testing/private-rabbitmq';
import { startPrivateRedis } from '@hydrant/testing/private-redis';
import { readMetric, secondsUntil, type Figure, type FigureSource } from './measure.ts';
import { publishRestarts } from './nomad-firehose-messages.ts';
import { usedMemory } from './redis-memory.ts';
import { freePort, startService } from './service.ts';

const lineages = 100_000;
const megabyte = 1_000_000;

async function measure(): Promise<readonly Figure[]> {
  const [broker, redis] = await Promise.all([startPrivateRabbitMq({ exclusive: true }), startPrivateRedis()]);
  const port = await freePort();
  const settings = { AMQP_CONNECTION: broker.url, REDIS_URL: redis.url, AMQP_BINDINGS: 'allocations' };
  // The first makes the queue.
  await (await startService('hydrant-crashloop-detector', await freePort(), settings)).stop();
  await publishRestarts(broker.url, lineages, lineages);
  const detector = await startService('hydrant-crashloop-detector', port, settings);
  await secondsUntil(lineages, performance.now(), () => readMetric(port, 'hydrant_crashloop_detector_lineages'));
  const [inRedis, inDetector] = [await usedMemory(redis.url), await detector.peakMemory()];
  await detector.stop();
  await Promise.all([broker.close(), redis.close()]);
  return [
    { name: 'Redis used_memory', value: inRedis / megabyte, unit: 'MB', atMost: 200 },
    { name: 'detector VmHWM', value: inDetector / megabyte, unit: 'MB', atMost: 150 },
  ];
}

export function createDetectorMemory(): FigureSource {
  return {
    name: 'detector-memory',
    what: `${lineages.toLocaleString('en-US')} lineages of one crash each in the ledger`,
    measure,
  };
}
