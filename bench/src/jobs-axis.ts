/** The detector with the same number of restarts spread over more and more jobs. */
import { startPrivateRabbitMq } from '@hydrant/testing/private-rabbitmq';
import { startPrivateRedis } from '@hydrant/testing/private-redis';
import { measureBareEvalsha } from './detector-nfh-path.ts';
import { rateOf, readMetrics, readMetric, type Axis } from './measure.ts';
import { publishRestarts } from './nomad-firehose-messages.ts';
import { usedMemory } from './redis-memory.ts';
import { freePort, startService } from './service.ts';

const counts = [1, 100, 10_000];
const restarts = 60_000;
const megabyte = 1_000_000;

async function measure(jobs: number): Promise<readonly number[]> {
  const floor = await measureBareEvalsha(restarts, jobs);
  const [broker, redis] = await Promise.all([startPrivateRabbitMq({ exclusive: true }), startPrivateRedis()]);
  const settings = { AMQP_CONNECTION: broker.url, REDIS_URL: redis.url, AMQP_BINDINGS: 'allocations' };
  // The first makes the queue.
  await (await startService('hydrant-crashloop-detector', await freePort(), settings)).stop();
  await publishRestarts(broker.url, restarts, jobs);
  const port = await freePort();
  const detector = await startService('hydrant-crashloop-detector', port, settings);
  const eventsPerSecond = await rateOf(restarts, () => readMetric(port, 'hydrant_crashloop_detector_events_total'));
  const [peak, cpu, used] = [await detector.peakMemory(), await detector.cpuSeconds(), await usedMemory(redis.url)];
  const alerts = (await readMetrics(port))('hydrant_crashloop_detector_alerts_total');
  await detector.stop();
  await Promise.all([broker.close(), redis.close()]);
  return [
    jobs,
    eventsPerSecond,
    floor.eventsPerSecond,
    (cpu / restarts) * 100_000,
    alerts,
    peak / megabyte,
    used / megabyte,
  ];
}

export function createJobsAxis(): Axis {
  return {
    name: 'jobs',
    what: `the detector, ${restarts.toLocaleString('en-US')} restarts of so many jobs in turn from a full queue, as nomad-firehose tells of them`,
    columns: [
      'jobs',
      'restarts/s',
      'bare EVALSHA/s',
      'CPU, s per 100,000 restarts',
      'alerts',
      'detector VmHWM, MB',
      'Redis used_memory, MB',
    ],
    async *rows() {
      for (const jobs of counts) yield await measure(jobs);
    },
  };
}
