import { setMaxListeners } from 'node:events';
import { connect } from 'amqplib';
import type { ChannelModel, ConfirmChannel } from 'amqplib';
import { eventually } from '@hydrant/testing/eventually';
import { startFaultProxy } from '@hydrant/testing/fault-proxy';
import { startPrivateRabbitMq } from '@hydrant/testing/private-rabbitmq';
import type { ExclusiveRabbitMq, PrivateRabbitMq } from '@hydrant/testing/private-rabbitmq';
import { recordingLog, testLog } from '@hydrant/testing/test-log';
import t from 'tap';
import type { Test } from 'tap';
import { systemClock } from '../../foundation/clock.ts';
import { errorCode, isRetryable } from '../../foundation/errors.ts';
import type { Message } from '../../messages/message.ts';
import type { Settlement } from '../bus.ts';
import { busContract } from '../bus-contract.ts';
import type { BusAdapter } from '../bus-adapter-contract.ts';
import { releaseContract } from '../release-contract.ts';
import { createAmqpBus } from './amqp-bus.ts';
import type { AmqpBus, AmqpBusOptions } from './amqp-bus.ts';

const ack: Settlement = { action: 'ack' };
const never = new AbortController().signal;
let names = 0;

function uniqueName(): string {
  names += 1;
  return `test.${names}`;
}

function abortAfter(ms: number): AbortSignal {
  const controller = new AbortController();
  systemClock.after(ms, () => {
    controller.abort();
  });
  return controller.signal;
}

function makeMessage(n: number, changes: Partial<Message> = {}): Message {
  return {
    id: `default/${n}`,
    routingKey: 'event.Allocation.AllocationUpdated.default.web',
    type: 'nomad.Allocation.AllocationUpdated',
    contentType: 'application/json',
    appId: 'hydrant-firehose',
    timestampMs: 1_790_000_000_000,
    headers: { cluster: 'default', index: n },
    body: Buffer.from(`{"Index":${n}}`),
    ...changes,
  };
}

async function startBus(t: Test, urls: readonly string[], changes: Partial<AmqpBusOptions> = {}): Promise<AmqpBus> {
  const bus = createAmqpBus({
    urls,
    exchange: 'nomad',
    connectionName: 'test',
    log: testLog(),
    clock: systemClock,
    ...changes,
  });
  t.teardown(() => bus.stop(abortAfter(1_000)));
  await bus.start(never);
  await eventually(() => bus.healthChecks.every((check) => check.check().status === 'pass'), {
    message: 'the bus to be connected',
  });
  return bus;
}

/** The driver itself, to look at the broker from outside the adapter. */
async function openDirectly(t: Test, url: string): Promise<{ model: ChannelModel; channel: ConfirmChannel }> {
  const model = await connect(url);
  model.on('error', () => undefined);
  t.teardown(() => model.close().catch(() => undefined));
  const channel = await model.createConfirmChannel();
  channel.on('error', () => undefined);
  return { model, channel };
}

/** Takes everything out of a queue. */
async function takeAll(t: Test, url: string, queue: string): Promise<Message[]> {
  const { model, channel } = await openDirectly(t, url);
  const taken: Message[] = [];
  for (
    let got = await channel.get(queue, { noAck: true });
    got !== false;
    got = await channel.get(queue, { noAck: true })
  ) {
    taken.push({
      id: String(got.properties.messageId),
      routingKey: got.fields.routingKey,
      type: String(got.properties.type),
      contentType: String(got.properties.contentType),
      appId: String(got.properties.appId),
      timestampMs: Number(got.properties.timestamp) * 1000,
      headers: got.properties.headers ?? {},
      body: got.content,
    });
  }
  await model.close();
  return taken;
}

async function withContract(t: Test, broker: PrivateRabbitMq): Promise<void> {
  const adapter: BusAdapter = {
    name: 'amqp',
    async create(t) {
      // Each behaviour has an exchange of its own: subscriptions of others get nothing.
      const exchange = uniqueName();
      const bus = await startBus(t, [broker.url], { exchange });
      return {
        bus,
        async restart() {
          await bus.stop(never);
          return startBus(t, [broker.url], { exchange });
        },
        deadLetters: (subscription) => takeAll(t, broker.url, `${subscription}.dead-letter`),
      };
    },
  };
  await busContract(t, adapter);
  await releaseContract(t, adapter);
}

t.test('AMQP bus', async (t) => {
  const broker = await startPrivateRabbitMq(t);
  await withContract(t, broker);

  await t.test('a new queue is a quorum queue with its dead-letter queue', async (t) => {
    const bus = await startBus(t, [broker.url], { queueMaxBytes: 1_000_000 });
    const name = uniqueName();
    await bus.subscribe(
      { name, bindings: ['event.#', 'crash-loop'], prefetch: 1, maxHeldBytes: 1, consumer: 'test' },
      async () => ack,
      never,
    );

    const queues = await broker.ctl('list_queues', '-p', broker.vhost, 'name', 'type', 'durable', 'arguments');

    const line = queues.split('\n').find((one) => one.startsWith(`${name}\t`)) ?? '';
    t.match(line, /quorum\ttrue/);
    for (const part of [
      '"x-delivery-limit",1000000',
      '"x-dead-letter-exchange","nomad.dead-letter"',
      `"x-dead-letter-routing-key","${name}"`,
      '"x-max-length-bytes",1000000',
      '"x-overflow","reject-publish"',
    ])
      t.match(line, part);
    t.match(queues, new RegExp(`^${name}\\.dead-letter\tquorum\ttrue`, 'm'));
    t.match(
      await broker.ctl('list_bindings', '-p', broker.vhost, 'source_name', 'destination_name', 'routing_key'),
      `nomad.dead-letter\t${name}.dead-letter\t${name}`,
    );
    t.equal(await bus.hasQueue(name), true);
    t.equal(await bus.hasQueue('test.no-such-queue'), false);
  });

  await t.test('an existing classic queue and an exchange of other settings are used as they are', async (t) => {
    const { channel } = await openDirectly(t, broker.url);
    const name = uniqueName();
    const exchange = uniqueName();
    await channel.assertQueue(name, { durable: true, arguments: { 'x-max-length': 1000 } });
    await channel.assertExchange(exchange, 'topic', { durable: false });
    const { log, lines } = recordingLog('warn');
    const bus = await startBus(t, [broker.url], { exchange, log });
    const seen: string[] = [];

    const subscribe = () =>
      bus.subscribe(
        { name, bindings: ['#'], prefetch: 5, maxHeldBytes: 1000, consumer: 'test' },
        async ({ message }) => {
          seen.push(message.id);
          return ack;
        },
        never,
      );
    const first = await subscribe();
    await first.close(never);
    await subscribe();
    await bus.publish(makeMessage(1));

    await eventually(() => seen.length === 1);
    t.strictSame(lines, []);
  });

  await t.test('a bus that only publishes makes its exchange and nothing else', async (t) => {
    const other = await startPrivateRabbitMq(t);
    const bus = await startBus(t, [other.url], { exchange: 'elsewhere' });

    t.equal(await bus.publish(makeMessage(1), { mandatory: true }), 'unrouted');

    const made = (await other.ctl('list_exchanges', '-p', other.vhost, 'name', 'type', 'durable'))
      .split('\n')
      .filter((line) => !/^(?:amq\.|name\t|\t|$)/u.test(line));
    t.strictSame(made, ['elsewhere\ttopic\ttrue']);
  });

  await t.test('a message of another publisher arrives with what it has', async (t) => {
    const { channel } = await openDirectly(t, broker.url);
    const bus = await startBus(t, [broker.url]);
    const seen: Message[] = [];
    await bus.subscribe(
      { name: uniqueName(), bindings: ['allocations'], prefetch: 5, maxHeldBytes: 1000, consumer: 'test' },
      async ({ message }) => {
        seen.push(message);
        return ack;
      },
      never,
    );

    channel.publish('nomad', 'allocations', Buffer.from('hello'), { headers: { nested: { a: 1 }, n: null } });

    await eventually(() => seen.length === 1);
    t.strictSame(seen[0], {
      id: '',
      routingKey: 'allocations',
      type: '',
      contentType: '',
      appId: '',
      timestampMs: 0,
      headers: { nested: '{"a":1}' },
      body: Buffer.from('hello'),
    });
  });

  await t.test('a full queue that refuses is told as bus-refused and takes messages again', async (t) => {
    const bus = await startBus(t, [broker.url]);
    const { channel } = await openDirectly(t, broker.url);
    const name = uniqueName();
    await channel.assertQueue(name, {
      durable: true,
      arguments: { 'x-max-length': 2, 'x-overflow': 'reject-publish' },
    });
    await channel.bindQueue(name, 'nomad', 'refuse');

    const results = await Promise.allSettled(
      Array.from({ length: 6 }, (_, n) => bus.publish(makeMessage(n, { routingKey: 'refuse' }))),
    );
    const refusals = results.filter((result) => result.status === 'rejected');
    t.ok(refusals.length >= 3);
    t.ok(refusals.every((result) => errorCode(result.reason) === 'bus-refused' && isRetryable(result.reason)));

    await channel.purgeQueue(name);
    await eventually(() => bus.publish(makeMessage(7, { routingKey: 'refuse' })));
  });

  await t.test(
    'after a refusal it publishes on another channel of the same connection, and the old one goes',
    async (t) => {
      const { url, vhost, ctl } = await startPrivateRabbitMq();
      const bus = await startBus(t, [url]);
      const model = await connect(url);
      t.teardown(() => model.close());
      const channel = await model.createChannel();
      const name = uniqueName();
      await channel.assertQueue(name, {
        durable: true,
        arguments: { 'x-max-length': 1, 'x-overflow': 'reject-publish' },
      });
      await channel.bindQueue(name, 'nomad', 'refuse');
      const publishing = async () =>
        (await ctl('list_channels', '-p', vhost, 'number', 'confirm'))
          .split('\n')
          .filter((line) => line.endsWith('true'));
      const before = await eventually(async () => (await publishing()).length === 1 && publishing());

      await Promise.allSettled(
        Array.from({ length: 6 }, (_, n) => bus.publish(makeMessage(n, { routingKey: 'refuse' }))),
      );

      await eventually(async () => (await publishing()).length === 1 && (await publishing())[0] !== before[0], {
        message: 'another channel alone',
      });
      t.equal(await bus.publish(makeMessage(7, { routingKey: 'nobody' }), { mandatory: true }), 'unrouted');
    },
  );

  await t.test('what AMQP cannot carry is refused for good and harms no other message', async (t) => {
    const bus = await startBus(t, [broker.url]);
    const good = bus.publish(makeMessage(1));
    const cases: Partial<Message>[] = [
      { routingKey: 'x'.repeat(256) },
      { id: 'x'.repeat(256) },
      { type: 'x'.repeat(256) },
      { headers: { big: 'x'.repeat(70_000) } },
    ];
    for (const changes of cases) {
      await t.rejects(bus.publish(makeMessage(2, changes)), { code: 'bus-message-invalid', retryable: false });
    }
    t.equal(await good, 'routed');
    t.equal(await bus.publish(makeMessage(3)), 'routed');
    t.equal(bus.unconfirmed, 0);
  });

  await t.test('mandatory messages with one id are told apart', async (t) => {
    const bus = await startBus(t, [broker.url], { exchange: uniqueName() });
    const same = Array.from({ length: 5 }, () => bus.publish(makeMessage(1), { mandatory: true }));
    t.strictSame(
      await Promise.all(same),
      Array.from({ length: 5 }, () => 'unrouted'),
    );
    t.equal(await bus.publish(makeMessage(1)), 'routed', 'not asked, not told');
  });

  await t.test('a deleted queue is made and consumed again', async (t) => {
    const bus = await startBus(t, [broker.url]);
    const { channel } = await openDirectly(t, broker.url);
    const name = uniqueName();
    const seen = new Set<string>();
    await bus.subscribe(
      { name, bindings: ['deleted'], prefetch: 5, maxHeldBytes: 1000, consumer: 'test' },
      async ({ message }) => {
        seen.add(message.id);
        return ack;
      },
      never,
    );

    await channel.deleteQueue(name);

    await eventually(
      async () => (await bus.publish(makeMessage(1, { routingKey: 'deleted' }), { mandatory: true })) === 'routed',
    );
    await eventually(() => seen.size === 1);
  });

  await t.test('a dead letter waits until a queue takes it', async (t) => {
    const bus = await startBus(t, [broker.url]);
    const { channel } = await openDirectly(t, broker.url);
    const name = uniqueName();
    const subscription = await bus.subscribe(
      { name, bindings: ['poison'], prefetch: 5, maxHeldBytes: 1000, consumer: 'test' },
      async () => ({ action: 'dead-letter', reason: 'No' }),
      never,
    );
    await channel.unbindQueue(`${name}.dead-letter`, 'nomad.dead-letter', name);

    await bus.publish(makeMessage(1, { routingKey: 'poison' }));
    await eventually(() => subscription.held === 1);
    await channel.bindQueue(`${name}.dead-letter`, 'nomad.dead-letter', name);

    await eventually(() => subscription.held === 0);
    t.match(await takeAll(t, broker.url, `${name}.dead-letter`), [
      { id: 'default/1', headers: { error: 'No', attempts: 1, 'routing-key': 'poison', cluster: 'default' } },
    ]);
  });

  await t.test('a connection that is cut with 1000 messages in flight settles each of them', async (t) => {
    const proxy = await startFaultProxy(t, { targetPort: broker.port });
    const exchange = uniqueName();
    const bus = await startBus(t, [broker.urlAt(proxy.port)], { exchange });
    const name = uniqueName();
    await (
      await bus.subscribe(
        { name, bindings: ['event.#'], prefetch: 5, maxHeldBytes: 1000, consumer: 'test' },
        async () => ack,
        never,
      )
    ).close(never);
    const body = Buffer.alloc(2_000, 'x');

    const publishing = Promise.allSettled(
      Array.from({ length: 1_000 }, (_, n) => bus.publish(makeMessage(n, { body }))),
    );
    setImmediate(() => {
      proxy.cutOnce();
    });
    const results = await publishing;

    const failures = results.filter((result) => result.status === 'rejected');
    t.ok(failures.length > 0);
    t.ok(failures.every((result) => errorCode(result.reason) === 'bus-unavailable'));
    t.equal(bus.unconfirmed, 0);
    await eventually(() => bus.publish(makeMessage(1_000)), { message: 'publishing to go on' });
    const kept = new Set((await takeAll(t, broker.url, name)).map((message) => message.id));
    t.ok(
      results.every((result, n) => result.status === 'rejected' || kept.has(`default/${n}`)),
      'what was confirmed lies in the queue',
    );
  });

  await t.test('a broker that stops answering is left at the deadline', async (t) => {
    const proxy = await startFaultProxy(t, { targetPort: broker.port });
    const bus = await startBus(t, [broker.urlAt(proxy.port)]);
    await bus.subscribe(
      { name: uniqueName(), bindings: ['event.#'], prefetch: 5, maxHeldBytes: 1000, consumer: 'test' },
      async () => ack,
      never,
    );
    proxy.blackHole();
    const publishing = bus.publish(makeMessage(1));
    const rejection = t.rejects(publishing, { code: 'bus-unavailable' });

    const before = systemClock.monotonic();
    await bus.stop(abortAfter(300));

    await rejection;
    t.ok(systemClock.monotonic() - before < 2_500, 'within its time');
    await t.rejects(bus.publish(makeMessage(2)), { code: 'bus-unavailable' });
  });

  await t.test('an address that does not answer is named, the next one is used', async (t) => {
    const proxy = await startFaultProxy(t, { targetPort: broker.port });
    proxy.cut();
    const alone = createAmqpBus({
      urls: [broker.urlAt(proxy.port)],
      exchange: 'nomad',
      connectionName: 'test',
      log: testLog(),
      clock: systemClock,
    });
    t.teardown(() => alone.stop(never));
    await alone.start(never);
    const health = await eventually(() => {
      const found = alone.healthChecks[0]?.check();
      return found?.detail?.includes(': ') === true && found;
    });
    t.equal(health.status, 'fail');
    t.match(health.detail, `amqp://127.0.0.1:${proxy.port}/`);
    t.notMatch(health.detail, 'guest');
    await t.rejects(alone.publish(makeMessage(1)), { code: 'bus-unavailable', retryable: true });
    await t.rejects(
      alone.subscribe(
        { name: uniqueName(), bindings: [], prefetch: 1, maxHeldBytes: 1, consumer: 'test' },
        async () => ack,
        abortAfter(50),
      ),
    );

    const both = await startBus(t, [broker.urlAt(proxy.port), broker.url]);
    t.equal(await both.publish(makeMessage(1)), 'routed');
  });

  t.throws(
    () =>
      createAmqpBus({
        urls: ['http://user:secret@host'],
        exchange: 'nomad',
        connectionName: 'test',
        log: testLog(),
        clock: systemClock,
      }),
    { code: 'amqp-address-invalid' },
  );
});

/** Publishes with 200 in flight and again what was rejected, until told to stop; gives the ids that were confirmed. */
async function publishUntil(bus: AmqpBus, stop: AbortSignal): Promise<Set<string>> {
  const confirmed = new Set<string>();
  let next = 0;
  await Promise.all(
    Array.from({ length: 200 }, async () => {
      while (!stop.aborted) {
        const message = makeMessage((next += 1), { body: Buffer.alloc(1_000, 'x') });
        while (!confirmed.has(message.id) && !stop.aborted) {
          await bus.publish(message).then(
            () => confirmed.add(message.id),
            () => systemClock.sleep(20, stop),
          );
        }
      }
    }),
  );
  return confirmed;
}

async function checkKill(t: Test, broker: ExclusiveRabbitMq): Promise<void> {
  const bus = await startBus(t, [broker.url]);
  const seen = new Set<string>();
  const options = {
    name: uniqueName(),
    bindings: ['event.#'],
    prefetch: 100,
    maxHeldBytes: 10_000_000,
    consumer: 'test',
  };
  await bus.subscribe(
    options,
    async ({ message }) => {
      seen.add(message.id);
      return ack;
    },
    never,
  );
  const stop = new AbortController();
  setMaxListeners(0, stop.signal);
  const publishing = publishUntil(bus, stop.signal);
  // n.b. RabbitMQ 3.10 writes down that a quorum queue exists some time after it has confirmed its first messages;
  // killed before, the queue is dead for ever.
  const settledAtMs = systemClock.monotonic() + 3_000;
  await eventually(() => seen.size > 2_000 && systemClock.monotonic() > settledAtMs, { timeoutMs: 20_000 });

  await broker.kill();
  await broker.start();

  const before = seen.size;
  await eventually(() => seen.size > before + 2_000, { timeoutMs: 30_000, message: 'publisher and consumer to go on' });
  stop.abort();
  const confirmed = await publishing;
  await eventually(() => [...confirmed].every((id) => seen.has(id)), {
    timeoutMs: 20_000,
    message: 'every confirmed message to arrive',
  });
  t.ok(confirmed.size > 4_000);
}

async function checkSizeLimit(t: Test, broker: ExclusiveRabbitMq): Promise<void> {
  const bus = await startBus(t, [broker.url]);
  const results = await Promise.allSettled([
    bus.publish(makeMessage(1)),
    bus.publish(makeMessage(2, { body: Buffer.alloc(200_000) })),
    bus.publish(makeMessage(3)),
  ]);
  t.match(results[1], { status: 'rejected', reason: { code: 'bus-message-invalid', retryable: false } });
  await eventually(() => bus.publish(makeMessage(4)));
  await t.rejects(bus.publish(makeMessage(5, { body: Buffer.alloc(200_000) })), { code: 'bus-message-invalid' });
  t.equal(await bus.publish(makeMessage(6)), 'routed');
}

async function checkMemoryAlarm(t: Test, broker: ExclusiveRabbitMq): Promise<void> {
  const bus = await startBus(t, [broker.url]);
  const seen: string[] = [];
  await bus.subscribe(
    { name: uniqueName(), bindings: ['alarm'], prefetch: 1, maxHeldBytes: 1_000, consumer: 'test' },
    async ({ message }) => {
      seen.push(message.id);
      return ack;
    },
    never,
  );
  await broker.ctl('set_vm_memory_high_watermark', 'absolute', '1000');
  const publishing = bus.publish(makeMessage(1, { routingKey: 'alarm' }));

  await eventually(() => /blocks publishers/.test(bus.healthChecks[0]?.check().detail ?? ''));
  t.equal(bus.healthChecks[1]?.check().status, 'pass', 'consuming goes on');
  await broker.ctl('set_vm_memory_high_watermark', '0.4');

  t.equal(await publishing, 'routed');
  await eventually(() => seen.length === 1);
  t.equal(bus.healthChecks[0]?.check().status, 'pass');
}

t.test('AMQP bus on a broker of its own', async (t) => {
  const broker = await startPrivateRabbitMq(t, { exclusive: true, config: ['max_message_size = 100000'] });
  await t.test('a broker that is killed under load loses nothing it confirmed', (t) => checkKill(t, broker));
  await t.test('a body above the limit of the broker stops nothing else', (t) => checkSizeLimit(t, broker));
  await t.test('a broker short of memory blocks publishing, says so, and goes on', (t) => checkMemoryAlarm(t, broker));
});
