import { systemClock } from '@hydrant/shared/foundation/clock';
import { HydrantError } from '@hydrant/shared/foundation/errors';
import type { Bus, PublishResult } from '@hydrant/shared/bus/bus';
import { makeEventMessage } from '@hydrant/shared/messages/event-message';
import type { Message } from '@hydrant/shared/messages/message';
import { createMemorySpool } from '@hydrant/shared/spool/memory-spool';
import type { Spool } from '@hydrant/shared/spool/spool';
import { eventually } from '@hydrant/testing/eventually';
import t, { type Test } from 'tap';
import { createCheckpointTracker, type CheckpointTracker } from '../checkpoint/tracker.ts';
import {
  SpoolPublisher,
  type PublisherOptions,
  type PublisherPorts,
  type PublisherTelemetry,
} from './spool-publisher.ts';

function createRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

function event(id: string, index: number, bytes = 10): Message {
  const body = Buffer.alloc(bytes);
  return makeEventMessage({
    id,
    routingKey: 'event._._._._',
    cluster: 'c',
    region: 'r',
    index,
    origin: 'stream',
    topic: 'Job',
    type: 'X',
    timestampMs: 0,
    body,
  });
}

/** Lets everything that has settled run on. */
function nextTurn(): Promise<void> {
  return systemClock.sleep(0);
}

const refused = new HydrantError('Expected the broker to confirm', { code: 'bus-refused', retryable: true });
const invalid = new HydrantError('Expected a header that AMQP can carry', {
  code: 'bus-message-invalid',
  retryable: false,
});

interface Rig {
  readonly publisher: SpoolPublisher;
  readonly spool: Spool;
  readonly tracker: CheckpointTracker;
  readonly failures: unknown[];
  readonly dropped: string[];
  readonly confirmed: { routed: number; unrouted: number };
}

async function start(
  t: Test,
  publish: Bus['publish'],
  options: PublisherOptions = {},
  lease?: PublisherPorts['lease'],
  clock = systemClock,
): Promise<Rig> {
  const spool = createMemorySpool({ maxBytes: 2 ** 30 });
  await spool.open();
  const tracker = createCheckpointTracker();
  const failures: unknown[] = [];
  const dropped: string[] = [];
  const confirmed = { routed: 0, unrouted: 0 };
  const telemetry: PublisherTelemetry = {
    eventConfirmed: (result) => {
      confirmed[result] += 1;
    },
    publishFailed: (failure) => {
      failures.push(failure);
    },
    eventDropped: ({ id }) => {
      dropped.push(id);
    },
  };
  const cursor = spool.cursor('publisher');
  const publisher = new SpoolPublisher(
    { retryMinMs: 1, retryMaxMs: 2, ...options },
    { bus: { publish }, cursor, tracker, lease, telemetry, clock },
  );
  publisher.start();
  t.teardown(() => publisher.stop(AbortSignal.abort()));
  return { publisher, spool, tracker, failures, dropped, confirmed };
}

t.test('every event reaches a bus that fails at random, and the checkpoint waits for it', async (t) => {
  for (let seed = 1; seed <= 12; seed += 1) {
    const random = createRandom(seed);
    const taken = new Set<string>();
    const inFlight: (() => void)[] = [];
    const indexes = new Map<string, number>();
    const rig = await start(
      t,
      (message) =>
        new Promise<PublishResult>((resolve, reject) => {
          inFlight.push(() => {
            if (random() < 0.05) reject(refused);
            else {
              taken.add(message.id);
              resolve('routed');
            }
          });
        }),
      { maxInFlight: 1 + Math.floor(random() * 100), maxInFlightBytes: 5_000 },
    );
    let index = 1;
    let violations = 0;
    for (let sent = 0; sent < 500;) {
      const batch = Array.from({ length: Math.floor(random() * 20) }, () => {
        if (random() < 0.3) index += 1;
        sent += 1;
        indexes.set(String(sent), index);
        return event(String(sent), index, Math.floor(random() * 500));
      });
      await rig.spool.append(batch);
      await settleSome();
    }

    for (let step = 0; step < 50_000 && rig.tracker.position < rig.spool.last; step += 1) await settleSome();

    t.equal(taken.size, indexes.size, `seed ${String(seed)}: all arrived`);
    t.equal(rig.tracker.index(rig.spool.last), index);
    t.equal(violations, 0, 'the checkpoint never passed an unconfirmed event');

    async function settleSome(): Promise<void> {
      for (const settle of inFlight.splice(0).toSorted(() => random() - 0.5)) {
        if (random() < 0.3) inFlight.push(settle);
        else settle();
      }
      await nextTurn();
      const checkpoint = rig.tracker.index(rig.spool.last) ?? 0;
      for (const [id, at] of indexes) if (at <= checkpoint && !taken.has(id)) violations += 1;
    }
  }
});

t.test('after a failure events go out again in order from the oldest unconfirmed', async (t) => {
  const calls: string[] = [];
  let isBroken = true;
  const rig = await start(t, async ({ id }) => {
    calls.push(id);
    if (id === '3' && isBroken) {
      isBroken = false;
      throw refused;
    }
    return 'routed';
  });

  await rig.spool.append(['1', '2', '3', '4', '5'].map((id) => event(id, Number(id))));
  await eventually(() => rig.tracker.position === 5);

  t.strictSame(calls, ['1', '2', '3', '4', '5', '3', '4', '5']);
  t.match(rig.failures, [{ unconfirmed: 3, err: { code: 'bus-refused' } }]);
});

t.test('the window bounds what is in flight by count and bytes', async (t) => {
  let inFlight = 0;
  let most = 0;
  const settle: (() => void)[] = [];
  const rig = await start(
    t,
    () =>
      new Promise((resolve) => {
        most = Math.max(most, (inFlight += 1));
        settle.push(() => {
          inFlight -= 1;
          resolve('routed');
        });
      }),
    { maxInFlight: 8 },
  );

  await rig.spool.append(Array.from({ length: 100 }, (_, i) => event(String(i), i)));
  for (let step = 0; step < 10_000 && rig.tracker.position < 100; step += 1) {
    settle.shift()?.();
    await nextTurn();
  }

  t.equal(most, 8);
  t.equal(rig.tracker.position, 100);
});

t.test('an event that the bus can never take is dropped alone', async (t) => {
  const rig = await start(t, async ({ id }) => {
    if (id === '2') throw invalid;
    return id === '3' ? 'unrouted' : 'routed';
  });

  await rig.spool.append([event('1', 1), event('2', 2), event('3', 3)]);
  await eventually(() => rig.tracker.position === 3);

  t.strictSame(rig.dropped, ['2']);
  t.strictSame(rig.confirmed, { routed: 1, unrouted: 1 });
  t.strictSame(rig.failures, []);
});

t.test('stopping publishes what was read', async (t) => {
  const rig = await start(
    t,
    async () => {
      await systemClock.sleep(1);
      return 'routed';
    },
    { maxInFlight: 5 },
  );
  await rig.spool.append(Array.from({ length: 50 }, (_, i) => event(String(i), i)));

  t.equal(await rig.publisher.stop(new AbortController().signal), 0);
  t.equal(rig.confirmed.routed, 50);
});

t.test('stopping gives up on a bus that takes nothing', async (t) => {
  const late = new AbortController();
  systemClock.after(50, () => {
    late.abort();
  });
  for (const [options, deadline] of [
    [{}, late.signal],
    [{ drainStallMs: 50 }, new AbortController().signal],
  ] as const) {
    const rig = await start(t, () => Promise.reject(refused), options);
    await rig.spool.append([event('1', 1)]);

    t.equal(await rig.publisher.stop(deadline), 1);
  }
});

t.test('nothing is handed to the bus while the lease is not held, and nothing is left out after it', async (t) => {
  const published: string[] = [];
  const lease = {
    left: 0,
    wake: (): void => undefined,
    get isHeld() {
      return this.left > 0;
    },
    untilHeld(signal: AbortSignal): Promise<void> {
      if (this.isHeld) return Promise.resolve();
      return new Promise((resolve) => {
        this.wake = resolve;
        signal.addEventListener(
          'abort',
          () => {
            resolve();
          },
          { once: true },
        );
      });
    },
  };
  const rig = await start(
    t,
    ({ id }) => {
      published.push(id);
      lease.left -= 1;
      return Promise.resolve('routed');
    },
    {},
    lease,
  );
  await rig.spool.append(Array.from({ length: 10 }, (_, position) => event(String(position), 1)));
  await nextTurn();
  t.strictSame(published, [], 'it is not held yet');

  lease.left = 4;
  lease.wake();
  await eventually(() => published.length === 4);
  await nextTurn();
  t.equal(published.length, 4, 'it ended in the middle of a handful');
  lease.left = 100;
  lease.wake();
  await eventually(() => published.length === 10);

  t.strictSame(
    published,
    Array.from({ length: 10 }, (_, position) => String(position)),
  );
});

t.test(
  'an oldest event that is not confirmed for half a minute is told of, whether the bus is silent or refuses, until it is confirmed',
  async (t) => {
    let aheadMs = 0;
    let isRefusing = true;
    const silent: (() => void)[] = [];
    const { publisher, spool } = await start(
      t,
      async ({ id }) => {
        if (id !== 'first') return 'routed';
        if (isRefusing) throw refused;
        await new Promise<void>((resolve) => {
          silent.push(resolve);
        });
        return 'routed';
      },
      {},
      undefined,
      { ...systemClock, monotonic: () => systemClock.monotonic() + aheadMs },
    );
    t.same(publisher.health(), { status: 'pass' });

    await spool.append([event('first', 1), event('second', 2)]);
    await eventually(() => publisher.unconfirmed > 0 || spool.last === 2);
    await eventually(() => {
      aheadMs += 31_000;
      return publisher.health().status === 'fail';
    });
    await eventually(() =>
      /^The oldest event has waited for its confirm for .*: Expected the broker to confirm$/u.test(
        publisher.health().detail ?? '',
      ),
    );

    isRefusing = false;
    await eventually(() => silent.length > 0);
    t.equal(publisher.health().status, 'fail', 'it is still the oldest');
    for (const confirm of silent) confirm();
    await eventually(() => publisher.unconfirmed === 0);
    aheadMs += 60_000;
    t.same(publisher.health(), { status: 'pass' });
  },
);
