/**
 * Floor of what consumes: amqplib with a window of 1000, each message acknowledged and nothing done with it.
 * Arguments: AMQP URL, queue, number of messages. Prints messages per second from the first message to the last.
 */
import { connect } from 'amqplib';

const [url, queue, count] = process.argv.slice(2);
if (url === undefined || queue === undefined || count === undefined)
  throw new Error('Expected three arguments: an AMQP URL, a queue and a number of messages');
const total = Number(count);
const connection = await connect(url);
const channel = await connection.createChannel();
await channel.prefetch(1000);
let received = 0;
let startedAt = 0;
await new Promise<void>((resolve, reject) => {
  channel
    .consume(queue, (message) => {
      if (message === null) return;
      if (received === 0) startedAt = performance.now();
      received += 1;
      channel.ack(message);
      if (received === total) resolve();
    })
    .catch(reject);
});
process.stdout.write(`${String(total / ((performance.now() - startedAt) / 1000))}\n`);
await channel.close();
await connection.close();
