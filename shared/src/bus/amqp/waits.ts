/** Waits that the AMQP adapter needs and that do not last for ever. */
import type { Channel } from 'amqplib';

/**
 * Resolves when the channel is closed, by whatever. amqplib's own promise hangs when the connection dies before the
 * broker has answered, while `close` is emitted in every case.
 */
export function closeChannel(channel: Channel): Promise<void> {
  return new Promise((resolve) => {
    channel.once('close', resolve);
    // Rejects at once when the channel is closed already.
    channel.close().then(resolve, () => {
      resolve();
    });
  });
}

/**
 * Resolves when `promise` has resolved or `signal` aborts, whichever comes first; leaves nothing on the signal. Rejects
 * as `promise` does.
 */
export async function unlessAborted(promise: Promise<unknown>, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  let stop = (): void => undefined;
  const aborted = new Promise<void>((resolve) => {
    stop = resolve;
  });
  signal.addEventListener('abort', stop, { once: true });
  try {
    await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}
