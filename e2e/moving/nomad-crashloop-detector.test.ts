/**
 * Who used nomad-crashloop-detector starts the crash-loop detector with the old variables, beside a nomad-firehose that
 * goes on as it was: its classic queue is consumed as it is, and alerts come where they came.
 */
import { startPrivateRabbitMq } from '@hydrant/testing/private-rabbitmq';
import { startPrivateRedis } from '@hydrant/testing/private-redis';
import { eventually } from '@hydrant/testing/eventually';
import { readRecordingFile } from '@hydrant/testing/recordings';
import { connect } from 'amqplib';
import t, { type Test } from 'tap';
import { createServiceProcess } from '../src/service-process.ts';

const input = 'nomad.crash-loop-in';
const output = 'nomad.crash-loop-out';
const atLeast = 2;

interface Alert {
  readonly LastEvent: { readonly Name: string };
  readonly EventLog: readonly string[];
}

/** Exchange, queues and bindings as nomad-crashloop-detector's README has them. */
async function openBroker(t: Test, url: string) {
  const connection = await connect(url);
  t.teardown(() => connection.close());
  const channel = await connection.createChannel();
  await channel.assertExchange('nomad', 'topic', { durable: true });
  for (const [queue, key] of [
    [input, 'allocations'],
    [output, 'crash-loop'],
  ] as const) {
    await channel.assertQueue(queue, { durable: true });
    await channel.bindQueue(queue, 'nomad', key);
  }
  return channel;
}

/** As if the newest of them had just happened. */
async function recorded(): Promise<readonly string[]> {
  const lines = (await readRecordingFile('nomad-firehose-parity', 'allocations.out.ndjson.gz'))
    .toString('utf8')
    .trim()
    .split('\n');
  const time = /"Time":(\d+)/u;
  const newest = lines.map((line) => BigInt(time.exec(line)?.[1] ?? '0')).reduce((a, b) => (a > b ? a : b));
  const shift = BigInt(Date.now()) * 1_000_000n - newest;
  return lines.map((line) => line.replace(time, (_, at: string) => `"Time":${String(BigInt(at) + shift)}`));
}

/**
 * By the bytes: the names with so many restarts that have a reason, and failed allocations, which count with us. The
 * whole recording lasts 72 s.
 */
function loopingNames(lines: readonly string[]): readonly string[] {
  const counts = new Map<string, number>();
  for (const line of lines) {
    const [, name] =
      /^\{"Name":"([^"]*)".*"TaskEvent":\{"Type":"(?:Not )?Restarting","Time":\d+.*"RestartReason":"[^"]/u.exec(line) ??
      [];
    if (name !== undefined) counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return [...counts]
    .filter(([, count]) => count >= atLeast)
    .map(([name]) => name)
    .sort();
}

void t.test('its variables start the detector on its queue, and alerts come where they came', async (t) => {
  const broker = await startPrivateRabbitMq(t);
  const redis = await startPrivateRedis(t);
  const channel = await openBroker(t, broker.url);
  const detector = await createServiceProcess('crashloop-detector', {
    AMQP_CONNECTION: broker.url,
    AMQP_QUEUE: input,
    RESTART_COUNT: String(atLeast),
    RESTART_INTERVAL: '5m',
    NOTIFICATION_INTERVAL: '5m',
    SINK_TYPE: 'amqp',
    SINK_AMQP_CONNECTION: broker.url,
    SINK_AMQP_EXCHANGE: 'nomad',
    SINK_AMQP_ROUTING_KEY: 'crash-loop',
    SINK_AMQP_WORKERS: '1',
    REDIS_URL: redis.url,
  });
  t.teardown(() => detector.kill());
  const lines = await recorded();
  const alerts: Alert[] = [];
  await channel.consume(
    output,
    (message) => {
      if (message !== null) alerts.push(JSON.parse(message.content.toString('utf8')) as Alert);
    },
    { noAck: true },
  );
  const names = () => [...new Set(alerts.map(({ LastEvent }) => LastEvent.Name))].sort();
  const waiting = async () => (await channel.checkQueue(input)).messageCount;
  // n.b. the count of a queue over AMQP leaves out what a consumer has in hand.
  const unsettled = async () =>
    new RegExp(`^${input}\\t(\\d+)$`, 'mu').exec(
      await broker.ctl('list_queues', '-p', broker.vhost, 'name', 'messages'),
    )?.[1];

  // As nomad-firehose publishes: transient, without id or type. The second is one that ended nomad-crashloop-detector.
  for (const body of [lines[0] ?? '', 'no JSON', ...lines])
    channel.publish('nomad', 'allocations', Buffer.from(body), { contentType: 'application/json' });
  await eventually(async () => (await waiting()) >= lines.length, { timeoutMs: 30_000, message: 'the messages wait' });
  await detector.start();
  await eventually(() => names().length >= loopingNames(lines).length, {
    timeoutMs: 90_000,
    message: 'every loop is announced',
  });
  await eventually(async () => (await unsettled()) === '0', { timeoutMs: 90_000, message: 'every message is settled' });
  await eventually(async () => (await channel.checkQueue(`${input}.dead-letter`)).messageCount === 1, {
    timeoutMs: 30_000,
    message: 'the one that is none is among the dead letters',
  });
  const exitCode = await detector.stop();

  t.ok(loopingNames(lines).length >= 4);
  t.same(names(), loopingNames(lines));
  t.ok(alerts.every(({ EventLog }) => EventLog.length >= atLeast));
  t.match(
    await channel.assertQueue(input, { durable: true }),
    { queue: input, messageCount: 0 },
    'the queue is the classic one that it was',
  );
  t.equal(exitCode, 0);
});
