/** Events of rising size: into a queue by the firehose, out of it by a sink-worker. */
import { startPrivateRabbitMq } from '@hydrant/testing/private-rabbitmq';
import { startPrivateRedis } from '@hydrant/testing/private-redis';
import { startLoad } from './load.ts';
import { readMetric, secondsUntil, type Axis } from './measure.ts';
import { drainQueue, makeSinkQueue } from './queue-drain.ts';
import { freePort, startService } from './service.ts';

const sizes = [
  { bytes: 1000, events: 60_000 },
  { bytes: 6000, events: 60_000 },
  { bytes: 100_000, events: 6000 },
];
const megabyte = 1_000_000;
/** What the simulator keeps for slow readers, bytes. */
const buffered = 12 * megabyte;

interface Published {
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly peakMemory: number;
}

async function publish(
  brokerUrl: string,
  redisUrl: string,
  { bytes, events }: { readonly bytes: number; readonly events: number },
): Promise<Published> {
  const load = await startLoad(events, { eventBytes: bytes, bufferSize: Math.ceil(buffered / bytes) });
  const port = await freePort();
  const firehose = await startService('hydrant-firehose', port, {
    AMQP_CONNECTION: brokerUrl,
    REDIS_URL: redisUrl,
    NOMAD_ADDR: load.url,
    FIREHOSE_TOPICS: 'Allocation',
  });
  const startedAt = performance.now();
  await load.begin();
  const seconds = await secondsUntil(events, startedAt, () =>
    readMetric(port, 'hydrant_firehose_events_published_total'),
  );
  const [cpuSeconds, peakMemory] = [await firehose.cpuSeconds(), await firehose.peakMemory()];
  await firehose.stop();
  await load.stop();
  return { seconds, cpuSeconds, peakMemory };
}

export function createSizeAxis(): Axis {
  return {
    name: 'size',
    what: 'a quorum queue filled by the firehose from a simulator that offers as much as is read, then emptied by a sink-worker → HTTP',
    columns: [
      'event, bytes',
      'firehose, events/s',
      'firehose, MB/s',
      'firehose CPU, s per 100,000 events',
      'firehose VmHWM, MB',
      'sink-worker, events/s',
      'sink-worker, MB/s',
      'sink-worker CPU, s per 100,000 events',
      'sink-worker VmHWM, MB',
    ],
    async *rows() {
      for (const size of sizes) {
        const { bytes, events } = size;
        const [broker, redis] = await Promise.all([startPrivateRabbitMq({ exclusive: true }), startPrivateRedis()]);
        await makeSinkQueue(broker.url, 'sized');
        const filled = await publish(broker.url, redis.url, size);
        const drained = await drainQueue({
          brokerUrl: broker.url,
          queue: 'sized',
          events,
          workers: 1,
          delayMs: 0,
          settings: {},
        });
        await Promise.all([broker.close(), redis.close()]);
        const megabytes = (perSecond: number): number => (perSecond * bytes) / megabyte;
        const per100k = (cpuSeconds: number): number => (cpuSeconds / events) * 100_000;
        const published = events / filled.seconds;
        yield [
          bytes,
          published,
          megabytes(published),
          per100k(filled.cpuSeconds),
          filled.peakMemory / megabyte,
          drained.eventsPerSecond,
          megabytes(drained.eventsPerSecond),
          per100k(drained.cpuSeconds),
          drained.peakMemory / megabyte,
        ];
      }
    },
  };
}
