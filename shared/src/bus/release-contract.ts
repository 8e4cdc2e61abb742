/**
 * What every adapter of the bus port must do when a subscription gives back what it holds. A part of the bus contract.
 */
import { eventually } from '@hydrant/testing/eventually';
import type { Test } from 'tap';
import type { Message } from '../messages/message.ts';
import { ack, makeGate, makeMessage, makeOptions, never, type BusAdapter } from './bus-adapter-contract.ts';

export async function releaseContract(t: Test, adapter: BusAdapter): Promise<void> {
  await t.test(`${adapter.name}: what is released is handed out again in order, what is settled is not`, async (t) => {
    const { bus } = await adapter.create(t);
    const seen: string[] = [];
    let isDown = true;
    const gate = makeGate();
    const subscription = await bus.subscribe(
      makeOptions({ prefetch: 5 }),
      async ({ message }) => {
        seen.push(message.id);
        if (message.id === '1' || message.id === '2' || !isDown) return ack;
        await gate.opened;
        // One of those in hand has come through while the others are given back.
        return message.id === '4' ? ack : { action: 'retry', afterMs: 0 };
      },
      never,
    );
    await Promise.all([1, 2, 3, 4, 5, 6, 7, 8, 9, 10].map((n) => bus.publish(makeMessage(n, { id: String(n) }))));
    await eventually(() => seen.length === 7);

    const releasing = subscription.release(never);
    gate.open();
    await releasing;
    t.same(seen, ['1', '2', '3', '4', '5', '6', '7'], 'nobody is called again');
    isDown = false;
    await subscription.resume();

    await eventually(() => seen.length === 14 && subscription.held === 0);
    t.same(seen.slice(7), ['3', '5', '6', '7', '8', '9', '10']);
  });

  await t.test(`${adapter.name}: a message that comes again looks as it did`, async (t) => {
    const { bus } = await adapter.create(t);
    const seen: Message[] = [];
    const subscription = await bus.subscribe(
      makeOptions(),
      ({ message }) => {
        seen.push(message);
        return Promise.resolve(seen.length === 1 ? { action: 'retry', afterMs: 60_000 } : ack);
      },
      never,
    );
    await bus.publish(makeMessage(1));
    await eventually(() => seen.length === 1);

    await subscription.release(never);
    await subscription.resume();

    await eventually(() => seen.length === 2);
    t.strictSame(seen[1], seen[0]);
  });

  await t.test(
    `${adapter.name}: a release that may not wait leaves the handlers behind, and a close in it ends both`,
    async (t) => {
      const { bus } = await adapter.create(t);
      let calls = 0;
      const gate = makeGate();
      const subscription = await bus.subscribe(
        makeOptions({ prefetch: 5 }),
        async () => {
          calls += 1;
          await gate.opened;
          return ack;
        },
        never,
      );
      await Promise.all([1, 2, 3].map((n) => bus.publish(makeMessage(n, { id: String(n) }))));
      await eventually(() => calls === 3);

      await subscription.release(AbortSignal.abort());
      const releasing = subscription.release(never);
      const closing = subscription.close(never);
      gate.open();
      await Promise.all([releasing, closing]);

      t.equal(calls, 3);
    },
  );
}
