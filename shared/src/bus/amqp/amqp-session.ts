/**
 * One connection to RabbitMQ for something that is done once, by a command: it does not wait for ever and does not try
 * again.
 */
import type { Channel, ChannelModel } from 'amqplib';
import type { Clock } from '../../foundation/clock.ts';
import { HydrantError } from '../../foundation/errors.ts';
import type { Logger } from '../../runtime/telemetry/logger.ts';
import { noTls, type TlsOptions } from '../../runtime/tls/tls-settings.ts';
import { parseAmqpAddress } from './amqp-address.ts';
import { AmqpConnection } from './amqp-connection.ts';

export interface AmqpSessionOptions {
  /** One per node of the cluster. */
  readonly urls: readonly string[];
  /** Shown in RabbitMQ's list of connections. */
  readonly connectionName: string;
  readonly log: Logger;
  readonly clock: Clock;
  readonly tls?: TlsOptions | undefined;
}

const connectWithinMs = 20_000;
const closeWithinMs = 2_000;

/** Connects, acts, disconnects. Rejects as `action` does, or with `bus-unavailable` when no broker answered in time. */
export async function withAmqpSession<T>(
  options: AmqpSessionOptions,
  signal: AbortSignal,
  action: (model: ChannelModel) => Promise<T>,
): Promise<T> {
  const { urls, connectionName, clock, tls = noTls('AMQP') } = options;
  // What a command has to say it says itself; only warnings are worth a line beside that.
  const log = options.log.child({}, { level: 'warn' });
  const connection = new AmqpConnection({
    name: 'rabbitmq',
    addresses: urls.map((url) => parseAmqpAddress(url)),
    connectionName,
    tls,
    log,
    clock,
    onConnect: () => Promise.resolve(),
  });
  const limit = new AbortController();
  const timer = clock.after(connectWithinMs, () => {
    limit.abort();
  });
  connection.start();
  try {
    const model = await connection.whenUp(AbortSignal.any([signal, limit.signal]));
    timer.cancel();
    if (model === undefined)
      throw new HydrantError(`Expected RabbitMQ to answer. ${connection.health().detail ?? ''}`, {
        code: 'bus-unavailable',
        retryable: true,
      });
    return await action(model);
  } finally {
    timer.cancel();
    const deadline = new AbortController();
    const closing = clock.after(closeWithinMs, () => {
      deadline.abort();
    });
    await connection.stop(deadline.signal);
    closing.cancel();
  }
}

/** Rejects when the channel has ended; never resolves. amqplib does not end every call of a connection that dies. */
export function whenLost(channel: Channel): Promise<never> {
  const lost = new Promise<never>((_resolve, reject) => {
    let reason: Error | undefined;
    channel.on('error', (error: Error) => {
      reason = error;
    });
    channel.on('close', () => {
      reject(
        new HydrantError(
          'Expected the connection to RabbitMQ to last, it ended before all was done; run the command again',
          { code: 'bus-unavailable', retryable: true, cause: reason },
        ),
      );
    });
  });
  // Heard by whoever races with it, if anybody does at that time.
  lost.catch(() => undefined);
  return lost;
}
