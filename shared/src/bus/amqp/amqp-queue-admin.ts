/** The queues of RabbitMQ, seen and removed one at a time. */
import type { Channel } from 'amqplib';
import type { QueueAdmin, QueueState } from '../queue-admin.ts';
import { withAmqpSession, whenLost } from './amqp-session.ts';
import type { AmqpSessionOptions } from './amqp-session.ts';
import { readDelivered } from './message-codec.ts';
import { queueExists } from './topology.ts';
import { closeChannel } from './waits.ts';

export function createAmqpQueueAdmin(options: AmqpSessionOptions): QueueAdmin {
  function onChannel<T>(
    name: string,
    signal: AbortSignal,
    missing: T,
    action: (channel: Channel) => Promise<T>,
  ): Promise<T> {
    return withAmqpSession(options, signal, async (model) => {
      if (!(await queueExists(model, name))) return missing;
      const channel = await model.createChannel();
      const lost = whenLost(channel);
      try {
        return await Promise.race([action(channel), lost]);
      } finally {
        await closeChannel(channel);
      }
    });
  }

  return {
    inspect: (name, signal) =>
      onChannel<QueueState | undefined>(name, signal, undefined, async (channel) => {
        const { messageCount, consumerCount } = await channel.checkQueue(name);
        return {
          name,
          messages: messageCount,
          consumers: consumerCount,
          oldest: consumerCount === 0 ? await peek(channel, name) : undefined,
        };
      }),
    remove: (name, signal) =>
      onChannel(name, signal, undefined, async (channel) => {
        await channel.deleteQueue(name);
      }),
  };
}

/** The message goes back to its place when the channel is closed. */
async function peek(channel: Channel, name: string): Promise<QueueState['oldest']> {
  const got = await channel.get(name);
  if (got === false) return undefined;
  const { id, timestampMs } = readDelivered(got);
  return { id, publishedAtMs: timestampMs };
}
