import { createAmqpBus } from '@hydrant/shared/bus/amqp/amqp-bus';
import { sinkContract, makeSinkMessage } from '@hydrant/shared/delivery/sink-contract';
import type { PartialFailure, Sink } from '@hydrant/shared/delivery/sink';
import { systemClock } from '@hydrant/shared/foundation/clock';
import type { Message } from '@hydrant/shared/messages/message';
import { loadConfig } from '@hydrant/shared/runtime/config/load-config';
import { eventually } from '@hydrant/testing/eventually';
import { startFaultProxy } from '@hydrant/testing/fault-proxy';
import { startPrivateRabbitMq } from '@hydrant/testing/private-rabbitmq';
import { recordingLog, testLog } from '@hydrant/testing/test-log';
import t, { type Test } from 'tap';
import { amqpSink } from './amqp.ts';
import { fillTemplate } from './encoding/fill-template.ts';

const never = new AbortController().signal;

function load(env: Record<string, string>) {
  return loadConfig(amqpSink.settings, {
    env,
    check: (values) => amqpSink.check?.(values as Parameters<NonNullable<typeof amqpSink.check>>[0]) ?? [],
  });
}

function createSink(url: string, env: Record<string, string> = {}, log = testLog()): Sink {
  return amqpSink.create(load({ SINK_AMQP_CONNECTION: url, SINK_AMQP_EXCHANGE: 'copy', ...env }), {
    log,
    name: 'amqp',
  });
}

/** What comes out of a queue that is bound to the exchange `copy`. */
async function listen(t: Test, url: string): Promise<readonly Message[]> {
  const received: Message[] = [];
  const bus = createAmqpBus({
    urls: [url],
    exchange: 'copy',
    connectionName: 'test',
    log: testLog(),
    clock: systemClock,
  });
  await bus.start(never);
  t.teardown(() => bus.stop(AbortSignal.abort()));
  await bus.subscribe(
    { name: 'copies', bindings: ['#'], prefetch: 100, maxHeldBytes: 1e6, consumer: 'test' },
    ({ message }) => {
      received.push(message);
      return Promise.resolve({ action: 'ack' });
    },
    never,
  );
  return received;
}

async function whenQuiet(received: readonly Message[]): Promise<readonly string[]> {
  let before = -1;
  await eventually(async () => {
    const isQuiet = received.length === before;
    before = received.length;
    await systemClock.sleep(100);
    return isQuiet;
  });
  return received.map((message) => message.body.toString());
}

sinkContract(t, {
  name: 'amqp',
  without: {
    refuse: 'a broker refuses for good what is above its max_message_size, which the contract of the bus has',
    refuseOne: 'as above: each message has its own confirm, and the bus answers for it',
  },
  async create(t) {
    const broker = await startPrivateRabbitMq(t);
    const received = await listen(t, broker.url);
    const proxy = await startFaultProxy(t, { targetPort: broker.port });
    return {
      sink: createSink(broker.urlAt(proxy.port)),
      arrived: () => whenQuiet(received),
      breakDown: () => {
        proxy.cut();
      },
      mend: () => {
        proxy.restore();
      },
      stall: () => {
        proxy.blackHole();
      },
    };
  },
});

void t.test('a message keeps what it came with, but for the routing key that is set', async (t) => {
  const broker = await startPrivateRabbitMq(t);
  const received = await listen(t, broker.url);
  const sink = createSink(broker.url, { SINK_AMQP_ROUTING_KEY: 'copy.{namespace}.{job}' });
  await sink.connect(never);
  t.teardown(() => sink.close());
  const message = makeSinkMessage(1, { timestampMs: 1_790_000_000_000 });

  await sink.write([message], never);

  await eventually(() => received.length === 1);
  t.same(received[0], { ...message, routingKey: 'copy.default.web' });
});

void t.test('what no queue is bound for is told of once', async (t) => {
  const broker = await startPrivateRabbitMq(t);
  const { log, lines } = recordingLog('warn');
  const sink = createSink(broker.url, {}, log);
  await sink.connect(never);
  t.teardown(() => sink.close());

  await sink.write([makeSinkMessage(1), makeSinkMessage(2)], never);
  await sink.write([makeSinkMessage(3)], never);

  t.match(
    lines.filter(({ level }) => level === 'warn'),
    [{ msg: /No queue is bound/u }],
  );
  t.equal(lines.length, 1);
});

void t.test('a message whose confirm is awaited is not published again', async (t) => {
  const broker = await startPrivateRabbitMq(t);
  const received = await listen(t, broker.url);
  const proxy = await startFaultProxy(t, { targetPort: broker.port });
  const sink = createSink(broker.urlAt(proxy.port));
  await sink.connect(never);
  t.teardown(() => sink.close());
  const message = makeSinkMessage(1);

  proxy.blackHole();
  for (let time = 0; time < 3; time += 1)
    await t.rejects(sink.write([message], AbortSignal.abort()), { code: 'sink-partial' });
  proxy.restore();
  await eventually(() => sink.write([message], never).then(() => true));

  t.ok((await whenQuiet(received)).length <= 2, 'once, or once more after the connection was made anew');
});

void t.test("a message above the broker's max_message_size is refused for good, the others are taken", async (t) => {
  const broker = await startPrivateRabbitMq(t, { exclusive: true, config: ['max_message_size = 4096'] });
  const received = await listen(t, broker.url);
  const sink = createSink(broker.url);
  await sink.connect(never);
  t.teardown(() => sink.close());
  const large = makeSinkMessage(2, { body: Buffer.from(JSON.stringify({ text: 'x'.repeat(8192) })) });

  // What waits for its confirm when the broker closes the channel comes again.
  let refused: unknown;
  await eventually(async () => {
    const error = await sink.write([makeSinkMessage(1), large, makeSinkMessage(3)], never).then(
      () => undefined,
      (thrown: unknown) => thrown as { readonly failures?: readonly PartialFailure[] },
    );
    refused = error?.failures?.find(({ index }) => index === 1);
    return error?.failures?.length === 1;
  });

  t.match(refused, { retryable: false, reason: /max_message_size/u });
  t.same(
    [...new Set(await whenQuiet(received))].sort(),
    [1, 3].map((n) => makeSinkMessage(n).body.toString()),
  );
});

void t.test('a wrong password waits and says what to do', async (t) => {
  const broker = await startPrivateRabbitMq(t);
  const sink = createSink(broker.url.replace('guest:guest', 'guest:wr0ng-secret'));
  t.teardown(() => sink.close());

  const error = await sink.connect(never).then(
    () => undefined,
    (thrown: unknown) => thrown as Error,
  );
  t.match(error, { code: 'sink-retryable', message: /ACCESS.REFUSED|403/u });
  t.notMatch(error?.message, /wr0ng-secret/u);
});

void t.test('a routing key is filled from the event', (t) => {
  const cases = [
    ['event.Job.JobRegistered.prod.web', 'x.{namespace}.{job}', 'x.prod.web'],
    ['event.Node.NodeRegistration._._', '{job}', '_'],
    ['crash-loop', 'alerts.{namespace}', 'alerts._'],
    ['event.Job.JobRegistered.prod.web', 'fixed', 'fixed'],
    // What an event brings is text, whatever it looks like.
    ["event.Job.JobRegistered.{job}.a$&b$'", '{namespace}.{job}.x', "{job}.a$&b$'.x"],
  ] as const;
  for (const [routingKey, template, expected] of cases)
    t.equal(fillTemplate(template, makeSinkMessage(1, { routingKey })), expected);
  t.end();
});

void t.test('an address with parameters that nobody reads is refused', (t) => {
  t.throws(() => load({ SINK_AMQP_CONNECTION: 'amqp://u:secret@elsewhere/?hartbeat=5' }), {
    code: 'config-invalid',
    message: /`SINK_AMQP_CONNECTION` to have known parameters, got `hartbeat`; supported are/u,
  });
  t.throws(() => load({ AMQP_CONNECTION: 'amqps://own/?cacertfile=/ca.pem', SINK_AMQP_EXCHANGE: 'copy' }), {
    message: /`AMQP_CONNECTION` .*set `AMQP_CACERT` instead/u,
  });
  t.end();
});

void t.test('a sink makes nothing at its broker but the exchange that it publishes to', async (t) => {
  const broker = await startPrivateRabbitMq(t);
  const sink = createSink(broker.url);
  await sink.connect(never);
  t.teardown(() => sink.close());

  await sink.write([makeSinkMessage(1)], never);

  const names = (await broker.ctl('list_exchanges', '-p', broker.vhost, 'name'))
    .split('\n')
    .filter((name) => name !== 'name' && name !== '' && !name.startsWith('amq.'));
  t.same(names, ['copy']);
});

void t.test('a sink that would feed itself is refused', (t) => {
  const own = 'amqp://guest:guest@127.0.0.1:5672/';
  const cases: readonly (readonly [Record<string, string>, boolean])[] = [
    [{}, true],
    [{ SINK_AMQP_CONNECTION: own, SINK_AMQP_EXCHANGE: 'nomad' }, true],
    [{ SINK_AMQP_ROUTING_KEY: 'event.copy.{job}' }, true],
    [{ SINK_AMQP_ROUTING_KEY: 'alerts', AMQP_BINDINGS: '#' }, true],
    [{ SINK_AMQP_ROUTING_KEY: 'copies.{job}' }, false],
    [{ SINK_AMQP_EXCHANGE: 'copy' }, false],
    [{ SINK_AMQP_CONNECTION: 'amqp://elsewhere/' }, false],
  ];
  for (const [env, isRefused] of cases) {
    if (isRefused) t.throws(() => load(env), { message: /come again for ever/u }, JSON.stringify(env));
    else t.doesNotThrow(() => load(env), JSON.stringify(env));
  }
  t.end();
});
