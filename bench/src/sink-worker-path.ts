/** A full quorum queue → sink-worker → local HTTP server, batches of 500, against a bare line-splitting forwarder. */
import { startPrivateRabbitMq } from '@hydrant/testing/private-rabbitmq';
import { startPrivateRedis } from '@hydrant/testing/private-redis';
import { fillQueues } from './broker.ts';
import { measureBareForwarder, startReceiver } from './destination.ts';
import { rateOf, type Measurement, type Path } from './measure.ts';
import { freePort, startService } from './service.ts';

const events = 100_000;

/** From a full queue of `events` to a destination that takes `delayMs` for each request. */
export async function measureSinkWorker(
  events: number,
  delayMs: number,
  sinkSettings: Readonly<Record<string, string>>,
): Promise<Measurement> {
  const [broker, redis, receiver] = await Promise.all([
    startPrivateRabbitMq({ exclusive: true }),
    startPrivateRedis(),
    startReceiver(delayMs),
  ]);
  const settings = { AMQP_CONNECTION: broker.url, SINK_TYPE: 'http', SINK_HTTP_ADDRESS: receiver.url, ...sinkSettings };
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

export function createSinkWorkerPath(): Path {
  return {
    name: 'sink-worker',
    target: 0.3,
    atLeastPerSecond: 20_000,
    floorName: 'bare forwarder',
    measure: () => measureSinkWorker(events, 0, {}),
    measureFloor: () => measureBareForwarder(events),
  };
}
