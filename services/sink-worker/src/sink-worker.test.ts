import { createAmqpBus, type AmqpBus } from '@hydrant/shared/bus/amqp/amqp-bus';
import { systemClock } from '@hydrant/shared/foundation/clock';
import type { Message } from '@hydrant/shared/messages/message';
import { loadConfig } from '@hydrant/shared/runtime/config/load-config';
import { createMetrics } from '@hydrant/shared/runtime/telemetry/metrics';
import { eventually } from '@hydrant/testing/eventually';
import { startHttpReceiver, type HttpReceiver } from '@hydrant/testing/http-receiver';
import { startPrivateRabbitMq, type PrivateRabbitMq } from '@hydrant/testing/private-rabbitmq';
import { testLog } from '@hydrant/testing/test-log';
import t, { type Test } from 'tap';
import { resolveSink, sinkWorkerSettings, withSinkSettings } from './config.ts';
import { looksLikeObject } from './handle-message.ts';
import { createSinkWorker, type SinkWorker } from './sink-worker.ts';

const never = new AbortController().signal;

function makeMessage(n: number, changes: Partial<Message> = {}): Message {
  return {
    id: `default/${String(n)}/Job/default/web/0`,
    routingKey: 'event.Job.JobRegistered.default.web',
    type: 'nomad.Job.JobRegistered',
    contentType: 'application/json',
    appId: 'hydrant-firehose',
    timestampMs: 1_790_000_000_000,
    headers: { cluster: 'default' },
    body: Buffer.from(`{"Index":${String(n)},"Time":1790000000123456789}`),
    ...changes,
  };
}

function openBus(t: Test, broker: PrivateRabbitMq): AmqpBus {
  const bus = createAmqpBus({
    urls: [broker.url],
    exchange: 'nomad',
    connectionName: 'test',
    log: testLog(),
    clock: systemClock,
  });
  t.teardown(() => bus.stop(AbortSignal.abort()));
  return bus;
}

interface Stage {
  readonly receiver: HttpReceiver;
  readonly metrics: () => Promise<string>;
  /** Starts another worker on the same queue. */
  startWorker(): Promise<SinkWorker>;
  publish(messages: readonly Message[]): Promise<void>;
  /** Indexes of the events that the receiver answered well, in the order of arrival. */
  arrived(): readonly number[];
  deadLetters(): Promise<readonly Message[]>;
  /** Messages that wait in the queue and are in nobody's hand. */
  ready(): Promise<number>;
}

async function setStage(t: Test, env: Record<string, string> = {}): Promise<Stage> {
  const broker = await startPrivateRabbitMq(t);
  const arrived: number[] = [];
  const receiver = await startHttpReceiver(t);
  const metrics = createMetrics({ service: 'test', version: '0' });
  const config = loadConfig(withSinkSettings(sinkWorkerSettings, 'http'), {
    env: {
      SINK_TYPE: 'http',
      SINK_HTTP_ADDRESS: receiver.url,
      SINK_BATCH_EVENTS: '10',
      SINK_BATCH_AGE: '50ms',
      SINK_RETRY_MIN: '5ms',
      SINK_RETRY_MAX: '50ms',
      ...env,
    },
  });
  const { definition, worker } = resolveSink(config);
  answerWell(receiver, arrived, () => 200);

  async function startWorker(): Promise<SinkWorker> {
    const bus = openBus(t, broker);
    await bus.start(never);
    const sinkWorker = createSinkWorker(worker, {
      bus,
      sink: definition.create(config, { log: testLog(), name: 'http' }),
      log: testLog(),
      metrics,
      clock: systemClock,
    });
    t.teardown(() => sinkWorker.stop(AbortSignal.abort()));
    await sinkWorker.start(never);
    return sinkWorker;
  }

  return {
    receiver,
    metrics: () => metrics.text(),
    startWorker,
    async publish(messages) {
      const bus = openBus(t, broker);
      await bus.start(never);
      await eventually(() => bus.publish(makeMessage(0, { routingKey: 'nobody' })));
      await Promise.all(messages.map((message) => bus.publish(message)));
    },
    arrived: () => arrived,
    async deadLetters() {
      const letters: Message[] = [];
      const bus = openBus(t, broker);
      await bus.subscribe(
        { name: `${worker.queue}.dead-letter`, bindings: [], prefetch: 100, maxHeldBytes: 1e6, consumer: 'test' },
        ({ message }) => {
          letters.push(message);
          return Promise.resolve({ action: 'ack' });
        },
        never,
      );
      await eventually(() => letters.length > 0);
      return letters;
    },
    async ready() {
      // n.b. list_queues shows what a quorum queue reported up to 5 s ago.
      const answer = await broker.ctl(
        'eval',
        `rabbit_amqqueue:with(rabbit_misc:r(<<"${broker.vhost}">>, queue, <<"${worker.queue}">>), fun(Q) -> rabbit_amqqueue:stat(Q) end).`,
      );
      return Number(/\{ok,(\d+),/u.exec(answer)?.[1]);
    },
  };
}

/** Notes what was taken; `statusOf` may look at the indexes of a request. */
function answerWell(receiver: HttpReceiver, arrived: number[], statusOf: (indexes: readonly number[]) => number): void {
  receiver.answer(({ body }) => {
    const indexes = (JSON.parse(body.toString()) as readonly { readonly Index: number }[]).map(({ Index }) => Index);
    const status = statusOf(indexes);
    if (status === 200) arrived.push(...indexes);
    return { status, body: status === 200 ? '' : 'not this one' };
  });
}

function numbers(from: number, to: number): readonly number[] {
  return Array.from({ length: to - from + 1 }, (_, n) => from + n);
}

void t.test('every event of the queue reaches the destination, in order with one batch in flight', async (t) => {
  const stage = await setStage(t, { SINK_CONCURRENCY: '1' });
  const worker = await stage.startWorker();

  await stage.publish(numbers(1, 95).map((n) => makeMessage(n)));
  await eventually(() => stage.arrived().length === 95);

  t.same(stage.arrived(), numbers(1, 95));
  t.match(stage.receiver.requests[0]?.body.toString(), '"Time":1790000000123456789');
  await worker.stop(never);
  t.equal(await stage.ready(), 0);
  t.match(await stage.metrics(), 'hydrant_sink_messages_total{sink="http",outcome="delivered"} 95');
});

void t.test('the one message that is refused lies in the dead-letter queue, the others arrive', async (t) => {
  const stage = await setStage(t);
  answerWell(stage.receiver, stage.arrived() as number[], (indexes) => (indexes.includes(37) ? 400 : 200));
  const worker = await stage.startWorker();

  await stage.publish(numbers(1, 100).map((n) => makeMessage(n)));
  await eventually(() => stage.arrived().length === 99);
  const letters = await stage.deadLetters();

  t.same(
    [...stage.arrived()].sort((a, b) => a - b),
    numbers(1, 100).filter((n) => n !== 37),
  );
  t.equal(letters.length, 1);
  t.equal(letters[0]?.id, makeMessage(37).id);
  t.same(letters[0]?.body, makeMessage(37).body);
  t.match(letters[0]?.headers, { error: /got 400: not this one/u, sink: 'http', cluster: 'default', attempts: Number });
  await worker.stop(never);
  t.equal(await stage.ready(), 0);
});

void t.test('a destination that is down loses nothing and goes on by itself', async (t) => {
  const stage = await setStage(t);
  let isDown = true;
  answerWell(stage.receiver, stage.arrived() as number[], () => (isDown ? 503 : 200));
  const worker = await stage.startWorker();

  await stage.publish(numbers(1, 200).map((n) => makeMessage(n)));
  await eventually(() => worker.healthChecks[0]?.check().status === 'fail');
  t.equal(stage.arrived().length, 0);
  isDown = false;
  await eventually(() => new Set(stage.arrived()).size === 200);

  t.equal(worker.healthChecks[0]?.check().status, 'pass');
  t.equal(stage.arrived().length, 200, 'each once');
});

void t.test('what is no event goes to the dead letters and stops nothing', async (t) => {
  const stage = await setStage(t);
  const bodies = ['', 'not JSON', '[1,2]', '"text"'];
  await stage.startWorker();

  await stage.publish([
    makeMessage(1),
    ...bodies.map((body, n) => makeMessage(900 + n, { body: Buffer.from(body) })),
    makeMessage(2),
  ]);
  await eventually(() => stage.arrived().length === 2);
  const letters = await eventually(async () => {
    const found = await stage.deadLetters();
    return found.length === bodies.length && found;
  });

  t.same(stage.arrived(), [1, 2]);
  t.same(new Set(letters.map((letter) => letter.body.toString())), new Set(bodies));
  t.match(letters[0]?.headers['error'], /to be a JSON object/u);
});

void t.test('stop delivers the batch that fills', async (t) => {
  const stage = await setStage(t, { SINK_BATCH_AGE: '15m' });
  const worker = await stage.startWorker();
  await stage.publish(numbers(1, 13).map((n) => makeMessage(n)));
  await eventually(() => stage.arrived().length === 10);
  // The three others are in hand when the queue has none ready.
  await eventually(async () => (await stage.ready()) === 0);

  await worker.stop(never);

  t.equal(stage.arrived().length, 13);
  // n.b. a quorum queue counts what was returned and settled a moment later.
  await eventually(async () => (await stage.ready()) === 0);
});

void t.test('stop with a destination that hangs gives everything back at the deadline', async (t) => {
  const stage = await setStage(t, { SINK_TIMEOUT: '1h' });
  stage.receiver.answer(() => 'hang');
  const worker = await stage.startWorker();
  await stage.publish(numbers(1, 30).map((n) => makeMessage(n)));
  await eventually(() => stage.receiver.requests.length === 3);
  const deadline = new AbortController();

  const stopping = worker.stop(deadline.signal);
  deadline.abort();
  await stopping;

  t.equal(await eventually(() => stage.ready()), 30);
  answerWell(stage.receiver, stage.arrived() as number[], () => 200);
  await stage.startWorker();
  await eventually(() => new Set(stage.arrived()).size === 30);
});

void t.test('a body looks like a JSON object or not', (t) => {
  const cases = [
    ['{}', true],
    ['{"a":1}', true],
    [' \n{"a":1}\r\n\t', true],
    ['{"a":1}x', false],
    ['{', false],
    ['}', false],
    ['', false],
    [' ', false],
    ['[]', false],
    ['null', false],
    ['x{}', false],
  ] as const;
  for (const [body, expected] of cases) t.equal(looksLikeObject(Buffer.from(body)), expected, JSON.stringify(body));
  t.end();
});

void t.test(
  'a message over which the destination breaks stops nothing, and lies in the dead-letter queue while others are taken',
  async (t) => {
    const stage = await setStage(t, { SINK_CONCURRENCY: '2', SINK_POISON_AFTER: '100ms' });
    answerWell(stage.receiver, stage.arrived() as number[], (indexes) => (indexes.includes(37) ? 500 : 200));
    const worker = await stage.startWorker();

    let next = 1;
    await eventually(
      async () => {
        await stage.publish(numbers(next, next + 9).map((n) => makeMessage(n)));
        next += 10;
        return (await stage.metrics()).includes('hydrant_sink_messages_total{sink="http",outcome="dead-lettered"} 1');
      },
      { timeoutMs: 60_000, message: 'the dead letter' },
    );
    await eventually(() => stage.arrived().length === next - 2);
    const letters = await stage.deadLetters();

    t.same(
      [...stage.arrived()].sort((a, b) => a - b),
      numbers(1, next - 1).filter((n) => n !== 37),
    );
    t.equal(letters.length, 1);
    t.match(letters[0], {
      id: makeMessage(37).id,
      headers: {
        error: /^Failed \d+ times in a row while other messages were taken \(SINK_POISON_AFTER\): .*got 500/u,
        attempts: Number,
      },
    });
    t.equal(worker.healthChecks[0]?.check().status, 'pass');
  },
);
