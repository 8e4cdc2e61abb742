/**
 * The socket below an amqplib connection, which amqplib does not hand out by a documented way: for ending a connection
 * that no longer answers, and for gathering the many small writes of a publisher. Where the socket is not found, both
 * do nothing.
 */
import { Duplex } from 'node:stream';
import type { ChannelModel } from 'amqplib';

export function findSocket(model: ChannelModel): Duplex | undefined {
  const connection: unknown = model.connection;
  if (typeof connection !== 'object' || connection === null || !('stream' in connection)) return undefined;
  return connection.stream instanceof Duplex ? connection.stream : undefined;
}

/** Ends the connection at once, without a word to the broker. The driver reports it as closed. */
export function destroySocket(model: ChannelModel, reason?: Error): void {
  findSocket(model)?.destroy(reason);
}
