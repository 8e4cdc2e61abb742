/**
 * The broker of the measurements: queues that hold what is measured, filled by the firehose itself, so that the
 * messages are the real ones.
 */
import { connect } from 'amqplib';
import { startLoad } from './load.ts';
import { readMetric, secondsUntil } from './measure.ts';
import { freePort, startService } from './service.ts';

export interface BenchQueue {
  /** Deletes it. */
  remove(): Promise<void>;
  /** Lets it stand, for a broker that is going to be killed. */
  leave(): Promise<void>;
}

/**
 * A quorum queue that takes what `binding` says, by default every event, because the firehose's messages must land
 * somewhere.
 */
export async function bindQueue(url: string, queue: string, binding = 'event.#'): Promise<BenchQueue> {
  const connection = await connect(url);
  const channel = await connection.createChannel();
  await channel.assertExchange('nomad', 'topic', { durable: true });
  await channel.assertQueue(queue, { durable: true, arguments: { 'x-queue-type': 'quorum' } });
  await channel.bindQueue(queue, 'nomad', binding);
  return {
    async remove() {
      await channel.deleteQueue(queue);
      await connection.close();
    },
    leave: () => connection.close(),
  };
}

/**
 * Plays `events` allocation events through a firehose to the queues that are bound already; resolves when all are
 * confirmed.
 */
export async function fillQueues(brokerUrl: string, redisUrl: string, events: number): Promise<void> {
  const load = await startLoad(events);
  const port = await freePort();
  const firehose = await startService('hydrant-firehose', port, {
    AMQP_CONNECTION: brokerUrl,
    REDIS_URL: redisUrl,
    NOMAD_ADDR: load.url,
    FIREHOSE_TOPICS: 'Allocation',
  });
  const startedAt = performance.now();
  await load.begin();
  await secondsUntil(events, startedAt, () => readMetric(port, 'hydrant_firehose_events_published_total'));
  await firehose.stop();
  await load.stop();
}
