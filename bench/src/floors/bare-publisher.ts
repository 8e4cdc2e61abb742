/**
 * Floor of the firehose: amqplib's confirm channel and nothing else, the recording's allocation events as Buffers, a
 * window of 1000, one quorum queue behind a topic exchange. Arguments: AMQP URL, number of messages. Prints messages
 * per second.
 */
import { connect } from 'amqplib';
import { readRecordedEvents } from '../recorded-events.ts';

const [url, count] = process.argv.slice(2);
if (url === undefined || count === undefined)
  throw new Error('Expected two arguments: an AMQP URL and a number of messages');
const total = Number(count);
const window = 1000;
const bodies = await readRecordedEvents('Allocation');
const connection = await connect(url);
const channel = await connection.createConfirmChannel();
await channel.assertExchange('bare', 'topic', { durable: true });
await channel.assertQueue('bare', { durable: true, arguments: { 'x-queue-type': 'quorum' } });
await channel.bindQueue('bare', 'bare', 'event.#');

let sent = 0;
let confirmed = 0;
const startedAt = performance.now();
await new Promise<void>((resolve, reject) => {
  const onConfirm = (error: unknown): void => {
    if (error !== null && error !== undefined) {
      reject(new Error('Expected the broker to confirm', { cause: error }));
      return;
    }
    confirmed += 1;
    if (confirmed === total) resolve();
    else publish();
  };
  const publish = (): void => {
    while (sent < total && sent - confirmed < window) {
      const body = bodies[sent % bodies.length];
      if (body === undefined) throw new Error('Expected the recording to hold events');
      sent += 1;
      channel.publish(
        'bare',
        'event.Allocation.AllocationUpdated.default.job',
        body,
        { persistent: true, messageId: `bare/${String(sent)}`, contentType: 'application/json' },
        onConfirm,
      );
    }
  };
  publish();
});
const seconds = (performance.now() - startedAt) / 1000;
process.stdout.write(`${String(total / seconds)}\n`);
await channel.deleteQueue('bare');
await connection.close();
