/** What `/readyz` says while RabbitMQ takes connections and no messages. */
import { eventually } from '@hydrant/testing/eventually';
import { startFaultProxy } from '@hydrant/testing/fault-proxy';
import { startPrivateRabbitMq } from '@hydrant/testing/private-rabbitmq';
import { testLog } from '@hydrant/testing/test-log';
import { connect } from 'amqplib';
import t, { type Test } from 'tap';
import { systemClock, type Clock } from '../../foundation/clock.ts';
import type { Message } from '../../messages/message.ts';
import { createAmqpBus, type AmqpBus } from './amqp-bus.ts';

const never = new AbortController().signal;
const message: Message = {
  id: '1',
  routingKey: 'full',
  type: '',
  contentType: '',
  appId: '',
  timestampMs: 0,
  headers: {},
  body: Buffer.from('{}'),
};

async function startBus(t: Test, url: string, clock: Clock): Promise<AmqpBus> {
  const bus = createAmqpBus({ urls: [url], exchange: 'nomad', connectionName: 'test', log: testLog(), clock });
  t.teardown(() => bus.stop(AbortSignal.abort()));
  await bus.start(never);
  await eventually(() => bus.healthChecks[0]?.check().status === 'pass');
  return bus;
}

/** A clock that can be put forward. */
function makeClock() {
  let aheadMs = 0;
  const clock: Clock = { ...systemClock, monotonic: () => systemClock.monotonic() + aheadMs };
  return {
    clock,
    forward: (ms: number) => {
      aheadMs += ms;
    },
  };
}

void t.test(
  'a publisher whose oldest message waits for its confirm for half a minute is not ready, until it is confirmed',
  async (t) => {
    const broker = await startPrivateRabbitMq(t);
    const proxy = await startFaultProxy(t, { targetPort: broker.port });
    const { clock, forward } = makeClock();
    const bus = await startBus(t, broker.urlAt(proxy.port), clock);
    await bus.publish(message);
    const check = () => bus.healthChecks[0]?.check();

    proxy.blackHole();
    const publishing = [bus.publish(message), bus.publish(message)];
    forward(29_000);
    t.match(check(), { status: 'pass' });
    forward(2_000);
    t.match(check(), {
      status: 'fail',
      detail:
        /^RabbitMQ has not confirmed the oldest of 2 messages for 31s: a queue may have lost the majority of its nodes/u,
    });
    proxy.restore();

    await Promise.all(publishing);
    t.match(check(), { status: 'pass' });
  },
);

void t.test(
  'a publisher whose every message is refused for half a minute is not ready, until one is taken or nothing is published any more',
  async (t) => {
    const broker = await startPrivateRabbitMq(t);
    const { clock, forward } = makeClock();
    const bus = await startBus(t, broker.url, clock);
    const model = await connect(broker.url);
    t.teardown(() => model.close());
    const channel = await model.createChannel();
    await channel.assertQueue('full', {
      durable: true,
      arguments: { 'x-max-length': 1, 'x-overflow': 'reject-publish' },
    });
    await channel.bindQueue('full', 'nomad', 'full');
    channel.sendToQueue('full', Buffer.from('{}'));
    const check = () => bus.healthChecks[0]?.check();
    const refuse = () =>
      eventually(
        () =>
          bus.publish(message).then(
            () => false,
            () => true,
          ),
        { message: 'a refusal' },
      );

    await refuse();
    t.match(check(), { status: 'pass' });
    forward(35_000);
    await refuse();
    t.match(check(), { status: 'fail', detail: /^RabbitMQ has refused every message for 3\ds: a queue is full/u });
    forward(61_000);
    t.match(check(), { status: 'pass' }, 'nobody publishes any more');
    await refuse();
    t.match(check(), { status: 'fail' });

    await channel.purgeQueue('full');
    await eventually(() => bus.publish(message));
    t.match(check(), { status: 'pass' });
  },
);
