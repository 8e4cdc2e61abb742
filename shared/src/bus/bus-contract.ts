/**
 * What every adapter of the bus port must do. Each adapter's test runs it over a storage of its own; `create` is called
 * once per behaviour.
 */
import { eventually } from '@hydrant/testing/eventually';
import type { Test } from 'tap';
import {
  ack,
  collect,
  hold,
  ids,
  makeGate,
  makeMessage,
  makeMessages,
  makeOptions,
  never,
  publishAll,
  witness,
  type BusAdapter,
} from './bus-adapter-contract.ts';
import { pauseAndCloseContract } from './pause-and-close-contract.ts';

async function checkRouting(t: Test, adapter: BusAdapter): Promise<void> {
  await t.test('a message arrives with every field and byte', async (t) => {
    const { bus } = await adapter.create(t);
    const { seen, handler } = collect();
    await bus.subscribe(makeOptions(), handler, never);
    const everyByte = makeMessage(1, { body: Buffer.from(Array.from({ length: 256 }, (_, byte) => byte)) });
    const empty = makeMessage(2, { body: Buffer.alloc(0), headers: {} });

    t.equal(await bus.publish(everyByte), 'routed');
    t.equal(await bus.publish(empty), 'routed');

    await eventually(() => seen.length === 2);
    t.strictSame(seen[0]?.message, everyByte);
    t.strictSame(seen[1]?.message, empty);
    t.equal(seen[0]?.redelivered, false);
    t.ok((seen[0]?.receivedAtMs ?? 0) > 0);
  });

  await t.test('a subscription gets what its bindings match, once', async (t) => {
    const { bus } = await adapter.create(t);
    const nodes = collect();
    const both = collect();
    await bus.subscribe(makeOptions({ bindings: ['event.Node.#'] }), nodes.handler, never);
    await bus.subscribe(
      makeOptions({ bindings: ['event.Node.#', 'event.*.*.default.web', 'event.Allocation.#'] }),
      both.handler,
      never,
    );
    const node = makeMessage(1, { routingKey: 'event.Node.NodeRegistration._._' });
    const allocation = makeMessage(2);
    const other = makeMessage(3, { routingKey: 'crash-loop' });
    const last = makeMessage(4, { routingKey: 'event.Node.NodeDrain._._' });

    await publishAll(bus, [node, allocation, other, last]);

    await eventually(() => nodes.seen.length >= 2 && both.seen.length >= 3);
    t.strictSame(ids(nodes.messages()), ids([node, last]));
    t.strictSame(ids(both.messages()), ids([node, allocation, last]));
  });

  await t.test('a mandatory publish says whether anybody gets it', async (t) => {
    const { bus } = await adapter.create(t);
    await bus.subscribe(makeOptions({ bindings: ['event.Node.#'] }), collect().handler, never);

    t.equal(await bus.publish(makeMessage(1), { mandatory: true }), 'unrouted');
    t.equal(await bus.publish(makeMessage(2)), 'routed');
    t.equal(
      await bus.publish(makeMessage(3, { routingKey: 'event.Node.NodeDrain._._' }), { mandatory: true }),
      'routed',
    );
  });

  await t.test('it knows which queues exist', async (t) => {
    const { bus } = await adapter.create(t);
    const options = makeOptions();

    t.equal(await bus.hasQueue(options.name), false);
    await bus.subscribe(options, collect().handler, never);
    t.equal(await bus.hasQueue(options.name), true);
  });

  await t.test('a routing key above 255 bytes is refused for good', async (t) => {
    const { bus } = await adapter.create(t);
    await t.rejects(bus.publish(makeMessage(1, { routingKey: 'ä'.repeat(128) })), {
      code: 'bus-message-invalid',
      retryable: false,
    });
    t.equal(await bus.publish(makeMessage(2)), 'routed');
  });
}

async function checkFlow(t: Test, adapter: BusAdapter): Promise<void> {
  await t.test('messages are handed out in the order of publishing', async (t) => {
    const { bus } = await adapter.create(t);
    const { messages, handler } = collect();
    await bus.subscribe(makeOptions({ prefetch: 7 }), handler, never);
    const published = makeMessages(300);

    await publishAll(bus, published);

    await eventually(() => messages().length === 300);
    t.strictSame(ids(messages()), ids(published));
  });

  await t.test('5,000 publishes at once all arrive exactly once', async (t) => {
    const { bus } = await adapter.create(t);
    const seen: string[] = [];
    await bus.subscribe(
      makeOptions({ prefetch: 100 }),
      async (delivery) => {
        seen.push(delivery.message.id);
        return ack;
      },
      never,
    );

    await publishAll(bus, makeMessages(5_000));

    await eventually(() => seen.length >= 5_000, { timeoutMs: 30_000 });
    t.equal(new Set(seen).size, 5_000);
    t.equal(seen.length, 5_000);
  });

  await t.test('no more than prefetch messages are held', async (t) => {
    const { bus } = await adapter.create(t);
    const gate = makeGate();
    const { seen, handler } = hold(gate);
    const subscription = await bus.subscribe(makeOptions({ prefetch: 3 }), handler, never);
    await publishAll(bus, makeMessages(10));

    await eventually(() => seen.length === 3);
    await witness(bus, makeMessage(11, { routingKey: 'witness' }));

    t.equal(seen.length, 3);
    t.equal(subscription.held, 3);
    gate.open();
    await eventually(() => seen.length === 10 && subscription.held === 0);
  });

  await t.test('what is held stays within maxHeldBytes and one message', async (t) => {
    const { bus } = await adapter.create(t);
    const gate = makeGate();
    const { seen, handler } = hold(gate);
    const subscription = await bus.subscribe(makeOptions({ prefetch: 20, maxHeldBytes: 5_000 }), handler, never);
    await publishAll(bus, makeMessages(40, { body: Buffer.alloc(1_000, 'x') }));

    await eventually(() => seen.length >= 5);
    await witness(bus, makeMessage(41, { routingKey: 'witness' }));

    t.ok(subscription.held <= 6, `held ${subscription.held} messages of 1,000 bytes`);
    gate.open();
    await eventually(() => new Set(ids(seen.map((one) => one.message))).size === 40 && subscription.held === 0);
  });

  await t.test('a message above maxHeldBytes is handed out alone', async (t) => {
    const { bus } = await adapter.create(t);
    const { seen, handler } = collect();
    await bus.subscribe(makeOptions({ maxHeldBytes: 100 }), handler, never);

    await publishAll(bus, makeMessages(3, { body: Buffer.alloc(1_000, 'x') }));

    await eventually(() => new Set(ids(seen.map((one) => one.message))).size === 3);
  });

  await t.test('a subscription that stands still stops no other', async (t) => {
    const { bus } = await adapter.create(t);
    const gate = makeGate();
    const stuck = hold(gate);
    const free = collect();
    await bus.subscribe(makeOptions({ prefetch: 1 }), stuck.handler, never);
    await bus.subscribe(makeOptions(), free.handler, never);

    await publishAll(bus, makeMessages(50));

    await eventually(() => free.seen.length === 50);
    t.equal(stuck.seen.length, 1);
    gate.open();
    await eventually(() => stuck.seen.length === 50);
  });
}

async function checkSettlement(t: Test, adapter: BusAdapter): Promise<void> {
  await t.test('retry calls the handler again after the delay', async (t) => {
    const { bus } = await adapter.create(t);
    const { seen, handler } = collect((_, calls) => (calls === 1 ? { action: 'retry', afterMs: 150 } : ack));
    const subscription = await bus.subscribe(makeOptions({ prefetch: 1 }), handler, never);

    await publishAll(bus, makeMessages(2));

    await eventually(() => seen.length === 4 && subscription.held === 0);
    t.strictSame(
      seen.map((delivery) => delivery.redelivered),
      [false, true, false, true],
    );
    const [first, second] = seen;
    t.ok((second?.receivedAtMs ?? 0) - (first?.receivedAtMs ?? 0) >= 140, 'the second call comes after the delay');
    t.strictSame(second?.message, first?.message);
  });

  await t.test('a throw is a retry', async (t) => {
    const { bus } = await adapter.create(t);
    const { seen, handler } = collect((_, calls) => {
      if (calls < 3) throw new Error('thrown by the contract');
      return ack;
    });
    const subscription = await bus.subscribe(makeOptions(), handler, never);

    await bus.publish(makeMessage(1));

    await eventually(() => seen.length === 3 && subscription.held === 0);
    t.equal(seen[2]?.redelivered, true);
  });

  await t.test('a dead letter is kept with its reason and the rest goes on', async (t) => {
    const { bus, deadLetters } = await adapter.create(t);
    const options = makeOptions({ prefetch: 1, consumer: 'contract-sink' });
    const { seen, handler } = collect((delivery) =>
      delivery.message.headers['index'] === 2
        ? { action: 'dead-letter', reason: 'The sink answered 400', attempts: 3 }
        : ack,
    );
    const subscription = await bus.subscribe(options, handler, never);
    const poison = makeMessage(2, { body: Buffer.from([0x7b, 0xff, 0x00, 0x7d]) });

    await publishAll(bus, [makeMessage(1), poison, makeMessage(3)]);

    await eventually(() => seen.length === 3 && subscription.held === 0);
    const kept = await eventually(async () => {
      const found = await deadLetters(options.name);
      return found.length > 0 ? found : undefined;
    });
    t.equal(kept?.length, 1);
    const dead = kept?.[0];
    t.match(dead, {
      id: poison.id,
      type: poison.type,
      headers: { ...poison.headers, error: 'The sink answered 400', attempts: 3, sink: 'contract-sink' },
    });
    t.ok(dead?.headers['failed-at'], 'it says when');
    t.strictSame(dead?.body, poison.body);
  });
}

/** Registers one sub-test per behaviour under the adapter's name. */
export async function busContract(t: Test, adapter: BusAdapter): Promise<void> {
  await t.test(`bus contract: ${adapter.name}`, async (t) => {
    await checkRouting(t, adapter);
    await checkFlow(t, adapter);
    await checkSettlement(t, adapter);
    await pauseAndCloseContract(t, adapter);
  });
}
