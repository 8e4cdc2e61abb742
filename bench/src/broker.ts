/** The broker of the measurements, its queue bound like a sink's, and a way to empty it between rounds. */
import { connect } from 'amqplib';

export interface BenchQueue {
  remove(): Promise<void>;
}

/** A quorum queue that takes every event, because the firehose's messages must land somewhere. */
export async function bindQueue(url: string, queue: string): Promise<BenchQueue> {
  const connection = await connect(url);
  const channel = await connection.createChannel();
  await channel.assertExchange('nomad', 'topic', { durable: true });
  await channel.assertQueue(queue, { durable: true, arguments: { 'x-queue-type': 'quorum' } });
  await channel.bindQueue(queue, 'nomad', 'event.#');
  return {
    async remove() {
      await channel.deleteQueue(queue);
      await connection.close();
    },
  };
}
