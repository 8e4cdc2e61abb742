/**
 * Empties a queue for as long as it runs, through restarts of the broker too, and counts what it saw: answers GET with
 * `{ distinct, received }`, events of the stream by their index (the load has one in a frame). Acknowledges many at
 * once, to cost the measured little. Arguments: AMQP URL, queue.
 */
import { once } from 'node:events';
import { createServer } from 'node:http';
import { connect } from 'amqplib';
import { pause } from './measure.ts';

const [url, queue] = process.argv.slice(2);
if (url === undefined || queue === undefined) throw new Error('Expected two arguments: an AMQP URL and a queue');
const window = 2000;
const together = 200;
const seen = new Set<number>();
let received = 0;

/** Resolves when the connection is gone, for whatever reason. */
async function drain(address: string, from: string): Promise<void> {
  const connection = await connect(address);
  const gone = new Promise<void>((resolve) => {
    connection.on('error', () => undefined);
    connection.on('close', () => {
      resolve();
    });
  });
  const channel = await connection.createChannel();
  channel.on('error', () => undefined);
  await channel.prefetch(window);
  let unsettled = 0;
  let isOpen = true;
  const settle = (): void => {
    if (unsettled > 0 && isOpen) channel.ackAll();
    unsettled = 0;
  };
  const timer = setInterval(settle, 50);
  await channel.consume(from, (message) => {
    if (message === null) return;
    received += 1;
    if (message.properties.headers?.['origin'] === 'stream') seen.add(Number(message.properties.headers['index']));
    unsettled += 1;
    if (unsettled >= together) settle();
  });
  await gone;
  isOpen = false;
  clearInterval(timer);
}

const server = createServer((_request, response) => {
  response.end(JSON.stringify({ distinct: seen.size, received }));
});
server.listen(0, '127.0.0.1');
await once(server, 'listening');
const address = server.address();
if (address === null || typeof address === 'string') throw new Error('Expected a TCP address from a server on port 0');
process.stdout.write(`listens at http://127.0.0.1:${String(address.port)}\n`);
for (;;) {
  await drain(url, queue).catch(() => undefined);
  await pause(250);
}
