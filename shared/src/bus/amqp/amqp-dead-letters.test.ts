import { eventually } from '@hydrant/testing/eventually';
import { startPrivateRabbitMq, type PrivateRabbitMq } from '@hydrant/testing/private-rabbitmq';
import { testLog } from '@hydrant/testing/test-log';
import t, { type Test } from 'tap';
import { systemClock } from '../../foundation/clock.ts';
import type { Message } from '../../messages/message.ts';
import type { Delivery, Settlement } from '../bus.ts';
import type { DeadLetterStore, DeadLetterVerdict } from '../dead-letter-store.ts';
import type { DeadLetter } from '../dead-letters.ts';
import { createAmqpBus, type AmqpBus } from './amqp-bus.ts';
import { createAmqpDeadLetters } from './amqp-dead-letters.ts';
import { createAmqpQueueAdmin } from './amqp-queue-admin.ts';

const never = new AbortController().signal;
const ack: Settlement = { action: 'ack' };
const refused: Settlement = { action: 'dead-letter', reason: 'The sink answered 400', attempts: 2 };
const queue = 'hydrant.sink.here';

function makeMessage(n: number): Message {
  return {
    id: `default/${n}`,
    routingKey: 'event.Job.JobRegistered.default.web',
    type: 'nomad.Job.JobRegistered',
    contentType: 'application/json',
    appId: 'hydrant-firehose',
    timestampMs: 1_790_000_000_000,
    headers: { cluster: 'default', index: n },
    body: Buffer.from(`{"Index":${n}}`),
  };
}

function options(broker: PrivateRabbitMq) {
  return { urls: [broker.url], connectionName: 'test', log: testLog(), clock: systemClock };
}

async function startBus(t: Test, broker: PrivateRabbitMq): Promise<AmqpBus> {
  const bus = createAmqpBus({ ...options(broker), exchange: 'nomad' });
  t.teardown(() => bus.stop(AbortSignal.abort()));
  await bus.start(never);
  await eventually(() => bus.healthChecks[0]?.check().status === 'pass');
  return bus;
}

interface Stage {
  readonly broker: PrivateRabbitMq;
  readonly bus: AmqpBus;
  readonly store: DeadLetterStore;
  /** What the queue handed out, and what a second queue with the same bindings did. */
  readonly seen: Delivery[];
  readonly elsewhere: Delivery[];
  /** From now on the consumer takes everything. */
  accept(): void;
  all(decide?: (letter: DeadLetter) => DeadLetterVerdict): Promise<readonly string[]>;
}

/** Ten messages whose consumer has refused them all. */
async function setStage(t: Test): Promise<Stage> {
  const broker = await startPrivateRabbitMq(t);
  const bus = await startBus(t, broker);
  const seen: Delivery[] = [];
  const elsewhere: Delivery[] = [];
  let isRefusing = true;
  const base = { bindings: ['event.#'], prefetch: 1, maxHeldBytes: 1_000_000, consumer: 'here' };
  const subscription = await bus.subscribe(
    { ...base, name: queue },
    async (delivery) => {
      seen.push(delivery);
      return isRefusing ? refused : ack;
    },
    never,
  );
  await bus.subscribe(
    { ...base, name: 'hydrant.sink.elsewhere' },
    async (delivery) => {
      elsewhere.push(delivery);
      return ack;
    },
    never,
  );
  for (let n = 1; n <= 10; n += 1) await bus.publish(makeMessage(n));
  await eventually(() => seen.length === 10 && subscription.held === 0 && elsewhere.length === 10);
  const store = createAmqpDeadLetters({ ...options(broker), queue });
  return {
    broker,
    bus,
    store,
    seen,
    elsewhere,
    accept() {
      isRefusing = false;
    },
    async all(decide = () => 'keep') {
      const ids: string[] = [];
      await store.sweep((letter) => {
        ids.push(letter.message.id.slice('default/'.length));
        return decide(letter);
      }, never);
      return ids;
    },
  };
}

const ten = ['1', '2', '3', '4', '5', '6', '7', '8', '9', '10'];

t.test('letters are shown with their reason and stay in their order, however often', async (t) => {
  const { store, all } = await setStage(t);
  const letters: DeadLetter[] = [];

  await store.sweep((letter) => {
    letters.push(letter);
    return 'keep';
  }, never);
  // n.b. RabbitMQ 4 gives up a message after 20 returns, unless the queue says otherwise.
  for (let time = 0; time < 25; time += 1) await all();

  t.match(letters[0], {
    message: makeMessage(1),
    error: 'The sink answered 400',
    attempts: 2,
    sink: 'here',
    failedAt: /^20\d\d-.*Z$/u,
  });
  t.same(letters[0]?.message.headers, { cluster: 'default', index: 1 });
  t.same(await all(), ten);
});

t.test('what is replayed reaches its own queue as it was, and no other', async (t) => {
  const { all, accept, seen, elsewhere, store } = await setStage(t);
  accept();

  const result = await store.sweep(
    ({ message }) => (Number(message.headers['index']) % 2 === 0 ? 'replay' : 'keep'),
    never,
  );

  t.same(result, { replayed: 5, dropped: 0 });
  await eventually(() => seen.length === 15);
  t.same(
    seen.slice(10).map(({ message }) => message),
    [2, 4, 6, 8, 10].map(makeMessage),
  );
  t.same(await all(), ['1', '3', '5', '7', '9']);
  t.equal(elsewhere.length, 10);
});

t.test('what fails again lies at the end and does not keep the sweep going', async (t) => {
  const { all, seen, store } = await setStage(t);

  t.same(await store.sweep(() => 'replay', never), { replayed: 10, dropped: 0 });
  await eventually(() => seen.length === 20);

  const letters = await eventually(async () => {
    const found = await all();
    return found.length === 10 && found;
  });
  t.same(letters, ten);
});

t.test('what is dropped is gone, the rest stays', async (t) => {
  const { all, store } = await setStage(t);

  t.same(await store.sweep(({ message }) => (message.id === 'default/3' ? 'drop' : 'keep'), never), {
    replayed: 0,
    dropped: 1,
  });

  t.same(
    await all(),
    ten.filter((n) => n !== '3'),
  );
});

t.test('a sweep that breaks off loses nothing', async (t) => {
  const { broker, all, store } = await setStage(t);
  const stopping = new AbortController();

  await t.rejects(
    store.sweep(({ message }) => {
      if (message.id === 'default/4') throw new Error('the process dies here');
      return 'keep';
    }, never),
    { message: 'the process dies here' },
  );
  t.same(await all(), ten);
  await store.sweep(({ message }) => {
    if (message.id === 'default/4') stopping.abort();
    return 'keep';
  }, stopping.signal);
  t.same(new Set(await all()), new Set(ten));

  const orphan = createAmqpDeadLetters({ ...options(broker), queue: 'hydrant.sink.none' });
  await t.rejects(
    orphan.sweep(() => 'replay', never),
    { code: 'queue-missing' },
  );
});

t.test('a letter whose queue is gone stays where it is', async (t) => {
  const { broker, bus, all, store } = await setStage(t);
  await bus.stop(never);
  await createAmqpQueueAdmin(options(broker)).remove(queue, never);

  await t.rejects(
    store.sweep(() => 'replay', never),
    { code: 'queue-missing', message: /queue "hydrant\.sink\.here" to replay to/u },
  );

  t.same(new Set(await all()), new Set(ten));
});

t.test('queues are seen as they are, and go with all that is in them', async (t) => {
  const { broker, bus } = await setStage(t);
  const admin = createAmqpQueueAdmin(options(broker));

  t.match(await admin.inspect(queue, never), { messages: 0, consumers: 1 });
  t.same(await admin.inspect(`${queue}.dead-letter`, never), {
    name: `${queue}.dead-letter`,
    messages: 10,
    consumers: 0,
    oldest: { id: 'default/1', publishedAtMs: 1_790_000_000_000 },
  });
  t.equal(await admin.inspect('none', never), undefined);
  await admin.remove('none', never);
  await bus.stop(never);
  await admin.remove(`${queue}.dead-letter`, never);
  t.equal(await admin.inspect(`${queue}.dead-letter`, never), undefined);
});

t.test('a broker that does not answer is told of in words', async (t) => {
  const asked = new AbortController();
  const store = createAmqpDeadLetters({
    urls: ['amqp://guest:guest@127.0.0.1:1/'],
    connectionName: 'test',
    log: testLog(),
    clock: systemClock,
    queue,
  });
  const sweeping = t.rejects(
    store.sweep(() => 'keep', asked.signal),
    { code: 'bus-unavailable', message: /Expected RabbitMQ to answer.*127\.0\.0\.1:1/u },
  );
  asked.abort();
  await sweeping;
});
