import { startPrivateRabbitMq } from '@hydrant/testing/private-rabbitmq';
import { testLog } from '@hydrant/testing/test-log';
import t from 'tap';
import { systemClock } from '../foundation/clock.ts';
import { createAmqpBus } from './amqp/amqp-bus.ts';
import type { Bus } from './bus.ts';
import { examineBus } from './examine-bus.ts';

const never = new AbortController().signal;
const subject = 'rabbitmq';

function within(ms: number): AbortSignal {
  const late = new AbortController();
  systemClock.after(ms, () => {
    late.abort();
  });
  return late.signal;
}

function makeBus(url: string): Bus {
  return createAmqpBus({
    urls: [url],
    exchange: 'nomad',
    connectionName: 'doctor',
    log: testLog(),
    clock: systemClock,
  });
}

t.test('the broker and its queues: those of others have to be there, its own are made at start', async (t) => {
  const { url } = await startPrivateRabbitMq(t);
  const consumer = makeBus(url);
  t.teardown(() => consumer.stop(AbortSignal.abort()));
  await consumer.start(never);
  await consumer.subscribe(
    { name: 'there', bindings: ['event.#'], prefetch: 1, maxHeldBytes: 1, consumer: 'test' },
    () => Promise.resolve({ action: 'ack' }),
    never,
  );

  const findings = await examineBus(makeBus(url), {
    subject,
    exchange: 'nomad',
    clock: systemClock,
    queues: [
      { name: 'there', isOwn: false },
      { name: 'missing', isOwn: false },
      { name: 'own', isOwn: true },
    ],
  }).examine(never);

  t.match(findings, [
    { subject: 'rabbitmq', isWell: true },
    { subject: 'exchange nomad', isWell: true },
    { subject: 'queue there', isWell: true, detail: 'is there' },
    { subject: 'queue missing', isWell: false, detail: /start the service that reads it/u },
    { subject: 'queue own', isWell: true, detail: /made when the service starts/u },
  ]);
});

t.test('a broker that is away, or refuses the user, is told with the address and without the password', async (t) => {
  const { url } = await startPrivateRabbitMq(t);
  const stranger = new URL(url);
  stranger.password = 'not-the-one';
  const cases = ['amqp://someone:not-the-one@127.0.0.1:1/', stranger.href];
  for (const each of cases) {
    const findings = await examineBus(makeBus(each), {
      subject,
      exchange: 'nomad',
      queues: [],
      clock: systemClock,
    }).examine(within(3_000));

    t.match(findings, [
      { subject, isWell: false, detail: /Not connected to amqp:\/\/127\.0\.0\.1:.*AMQP_CONNECTION/u },
    ]);
    t.notMatch(findings[0]?.detail, 'not-the-one');
  }
});
