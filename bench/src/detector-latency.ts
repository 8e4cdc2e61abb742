/**
 * How long after an event the alert is out: 1,000 restarts a second are published as nomad-firehose does, every
 * hundredth makes a crash loop, and an alert is timed from the publication of the event that decides to its arrival at
 * a consumer. That is more than was asked for (the broker's delivery of the event to the confirm of the alert): both
 * ways through the broker's quorum queues are in it.
 */
import { connect } from 'amqplib';
import { startPrivateRabbitMq } from '@hydrant/testing/private-rabbitmq';
import { startPrivateRedis } from '@hydrant/testing/private-redis';
import { bindQueue } from './broker.ts';
import type { Figure, FigureSource } from './measure.ts';
import { makeRestartMessages } from './nomad-firehose-messages.ts';
import { freePort, startService } from './service.ts';
import { percentile } from './statistics.ts';

const perSecond = 1000;
const seconds = 30;
const total = perSecond * seconds;
const restartsEach = 100;
const allocations = total / restartsEach;
/** RESTART_COUNT. */
const deciding = 5;

interface SeenAlert {
  readonly LastEvent: { readonly AllocationID: string };
}

/** Publishes at an even pace; resolves with when the deciding event of each allocation was published. */
async function offer(url: string): Promise<ReadonlyMap<number, number>> {
  const message = await makeRestartMessages(total, allocations);
  const connection = await connect(url);
  const channel = await connection.createConfirmChannel();
  const publishedAt = new Map<number, number>();
  const startedAt = performance.now();
  for (let sent = 0; sent < total;) {
    const due = Math.min(total, Math.floor(((performance.now() - startedAt) / 1000) * perSecond));
    for (; sent < due; sent += 1) {
      const [allocation, restart] = [Math.floor(sent / restartsEach), sent % restartsEach];
      if (restart === deciding - 1) publishedAt.set(allocation, performance.now());
      channel.publish('nomad', 'allocations', message(restart * allocations + allocation), {
        persistent: true,
        contentType: 'application/json',
      });
    }
    await new Promise((resolve) => {
      setTimeout(resolve, 2);
    });
  }
  await channel.waitForConfirms();
  await connection.close();
  return publishedAt;
}

async function measure(): Promise<readonly Figure[]> {
  const [broker, redis] = await Promise.all([startPrivateRabbitMq({ exclusive: true }), startPrivateRedis()]);
  const queue = await bindQueue(broker.url, 'alerts', 'crash-loop');
  const detector = await startService('hydrant-crashloop-detector', await freePort(), {
    AMQP_CONNECTION: broker.url,
    REDIS_URL: redis.url,
    AMQP_BINDINGS: 'allocations',
  });
  const connection = await connect(broker.url);
  const channel = await connection.createChannel();
  const arrivedAt = new Map<number, number>();
  const consuming = new Promise<void>((resolve, reject) => {
    channel
      .consume(
        'alerts',
        (message) => {
          if (message === null) return;
          const alert = JSON.parse(message.content.toString('utf8')) as SeenAlert;
          arrivedAt.set(Number.parseInt(alert.LastEvent.AllocationID.slice(0, 8), 16), performance.now());
          if (arrivedAt.size === allocations) resolve();
        },
        { noAck: true },
      )
      .catch(reject);
  });
  const publishedAt = await offer(broker.url);
  await consuming;
  const latencies = [...publishedAt].map(([allocation, at]) => (arrivedAt.get(allocation) ?? Infinity) - at);
  await Promise.all([detector.stop(), connection.close(), queue.remove()]);
  await Promise.all([broker.close(), redis.close()]);
  return [
    { name: 'alert latency p50', value: percentile(latencies, 0.5), unit: 'ms', atMost: 100 },
    { name: 'alert latency p99', value: percentile(latencies, 0.99), unit: 'ms', atMost: 100 },
  ];
}

export function createDetectorLatency(): FigureSource {
  return {
    name: 'detector-latency',
    what: `${String(perSecond)} events/s offered for ${String(seconds)} s, ${String(allocations)} alerts, from the publication of the event to the arrival of the alert (an upper bound)`,
    measure,
  };
}
