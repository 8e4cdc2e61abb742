/**
 * What every adapter of the bus port must do when a subscription is paused, closed, or outlived by its messages. A part
 * of the bus contract.
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

export async function pauseAndCloseContract(t: Test, adapter: BusAdapter): Promise<void> {
  await t.test('a paused subscription gets nothing until it is resumed', async (t) => {
    const { bus } = await adapter.create(t);
    const { seen, messages, handler } = collect();
    const subscription = await bus.subscribe(makeOptions(), handler, never);
    await bus.publish(makeMessage(1));
    await eventually(() => seen.length === 1 && subscription.held === 0);

    await subscription.pause();
    await publishAll(bus, [makeMessage(2), makeMessage(3)]);
    await witness(bus, makeMessage(4, { routingKey: 'witness' }));
    t.equal(seen.length, 1);

    await subscription.resume();
    await eventually(() => seen.length === 3);
    t.strictSame(ids(messages()), ids(makeMessages(3)));
  });

  await t.test('close waits for running handlers and what they settle is done', async (t) => {
    const { bus } = await adapter.create(t);
    const options = makeOptions({ prefetch: 2 });
    const gate = makeGate();
    const { seen, handler } = hold(gate);
    const subscription = await bus.subscribe(options, handler, never);
    await publishAll(bus, makeMessages(4));
    await eventually(() => seen.length === 2);

    let closed = false;
    const closing = subscription.close(never).then(() => {
      closed = true;
    });
    await witness(bus, makeMessage(5, { routingKey: 'witness' }));
    t.equal(closed, false);
    gate.open();
    await closing;
    await subscription.close(never);

    const after = collect();
    await bus.subscribe(options, after.handler, never);
    await eventually(() => after.seen.length === 2);
    t.strictSame(ids(after.messages()), ids(makeMessages(4).slice(2)));
    t.equal(seen.length, 2);
  });

  await t.test('close that may not wait returns the unsettled', async (t) => {
    const { bus } = await adapter.create(t);
    const options = makeOptions();
    const gate = makeGate();
    const { seen, handler } = hold(gate);
    const subscription = await bus.subscribe(options, handler, never);
    await publishAll(bus, makeMessages(3));
    await eventually(() => seen.length === 3);

    await subscription.close(AbortSignal.abort());

    const after = collect();
    await bus.subscribe(options, after.handler, never);
    await eventually(() => after.seen.length === 3);
    t.strictSame(ids(after.messages()), ids(makeMessages(3)));
    t.ok(after.seen.every((delivery) => delivery.redelivered));
    gate.open();
  });

  await t.test('a restart hands out the unsettled and not the settled', async (t) => {
    const { bus, restart } = await adapter.create(t);
    if (restart === undefined) return t.pass('no restart offered');
    const options = makeOptions();
    const gate = makeGate();
    const { seen, handler } = collect(async (delivery) => {
      if (Number(delivery.message.headers['index']) > 3) await gate.opened;
      return ack;
    });
    const subscription = await bus.subscribe(options, handler, never);
    await publishAll(bus, makeMessages(6));
    await eventually(() => seen.length === 6 && subscription.held === 3);
    await subscription.close(AbortSignal.abort());

    const again = await restart();
    const after = collect();
    await again.subscribe(options, after.handler, never);
    await again.publish(makeMessage(7));

    await eventually(() => after.seen.length === 4);
    t.strictSame(ids(after.messages()), ids(makeMessages(7).slice(3)));
    gate.open();
  });
}
