import { recordingLog } from '@hydrant/testing/test-log';
import { eventually } from '@hydrant/testing/eventually';
import t from 'tap';
import type { Settlement } from '../bus/bus.ts';
import { systemClock, type Clock, type Timer } from '../foundation/clock.ts';
import type { Message } from '../messages/message.ts';
import { loadConfig } from '../runtime/config/load-config.ts';
import { createMetrics } from '../runtime/telemetry/metrics.ts';
import { Batcher, type BatchLimits } from './batcher.ts';
import { createDelivery, type SinkDelivery } from './delivery.ts';
import { deliveryProblems, deliverySettings, resolveDelivery, type DeliveryOptions } from './delivery-settings.ts';
import { createDeliveryTelemetry } from './delivery-telemetry.ts';
import { partial, permanent, retryable, type Batch, type Sink, type SinkDefinition } from './sink.ts';

const never = new AbortController().signal;
const ack: Settlement = { action: 'ack' };
const handedBack: Settlement = { action: 'retry', afterMs: 0 };

function makeMessage(name: string): Message {
  return {
    id: name,
    routingKey: 'event.Job.JobRegistered.default.web',
    type: 'nomad.Job.JobRegistered',
    contentType: 'application/json',
    appId: 'test',
    timestampMs: 0,
    headers: {},
    body: Buffer.from('{"a":1}'),
  };
}

/** Time stands still until `advance`. */
class ManualClock implements Clock {
  #nowMs = 0;
  readonly #timers = new Map<object, { readonly atMs: number; readonly action: () => void }>();

  now = (): number => this.#nowMs;
  monotonic = (): number => this.#nowMs;
  every = (): Timer => {
    throw new Error('Nobody needs it here');
  };

  after(ms: number, action: () => void): Timer {
    const key = {};
    this.#timers.set(key, { atMs: this.#nowMs + ms, action });
    return {
      cancel: () => {
        this.#timers.delete(key);
      },
    };
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted === true) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = this.after(ms, resolve);
      signal?.addEventListener(
        'abort',
        () => {
          timer.cancel();
          resolve();
        },
        { once: true },
      );
    });
  }

  get timers(): number {
    return this.#timers.size;
  }

  advance(ms: number): void {
    this.#nowMs += ms;
    for (const [key, { atMs, action }] of [...this.#timers]) {
      if (atMs > this.#nowMs || !this.#timers.delete(key)) continue;
      action();
    }
  }
}

/** Lets everything that waits for nothing but its turn go on. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 5; turn += 1)
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
}

interface Stage {
  readonly delivery: SinkDelivery;
  readonly clock: ManualClock;
  /** Ids of each call of `write`. */
  readonly writes: string[];
  /** By message, as soon as it is settled. */
  readonly settlements: Record<string, Settlement>;
  readonly calls: string[];
  hand(names: string): void;
}

const options: DeliveryOptions = {
  name: 'here',
  batchEvents: 3,
  batchBytes: 1000,
  batchAgeMs: 500,
  concurrency: 1,
  timeoutMs: 2000,
  maxHeldBytes: 1e6,
  prefetch: 100,
  retry: { minMs: 100, maxMs: 1000, forMs: 0 },
  pauseAfterMs: 60_000,
  poisonAfterMs: 0,
  encodedBytes: () => 10,
};

function setStage(sink: Partial<Sink> = {}, changes: Partial<DeliveryOptions> = {}): Stage {
  const clock = new ManualClock();
  const writes: string[] = [];
  const calls: string[] = [];
  const settlements: Record<string, Settlement> = {};
  const metrics = createMetrics({ service: 'test', version: '0' });
  const delivery = createDelivery({
    sink: {
      connect: sink.connect ?? (async () => undefined),
      async write(batch, signal) {
        writes.push(batch.map((message) => message.id).join(''));
        await sink.write?.(batch, signal);
      },
      healthcheck: async () => undefined,
      close: async () => {
        calls.push('close');
      },
    },
    options: { ...options, ...changes },
    telemetry: createDeliveryTelemetry('here', { metrics, log: recordingLog().log, clock }),
    clock,
  });
  const hand = (names: string): void => {
    for (const name of names)
      void delivery.handle({ message: makeMessage(name), redelivered: false, receivedAtMs: 0 }).then((settlement) => {
        settlements[name] = settlement;
      });
  };
  return { delivery, clock, writes, settlements, calls, hand };
}

/** A write that ends when the test says so. */
function heldWrites(): {
  readonly write: Sink['write'];
  readonly release: (() => void)[];
  readonly most: () => number;
} {
  const release: (() => void)[] = [];
  let running = 0;
  let most = 0;
  return {
    release,
    most: () => most,
    async write() {
      running += 1;
      most = Math.max(most, running);
      await new Promise<void>((resolve) => {
        release.push(resolve);
      });
      running -= 1;
    },
  };
}

void t.test('a batch is complete by count, by bytes or by age', (t) => {
  const base: BatchLimits = { maxEvents: 3, maxBytes: 100, maxAgeMs: 50 };
  const cases: readonly {
    readonly limits?: Partial<BatchLimits>;
    readonly sizes: readonly number[];
    readonly waitMs?: number;
    readonly batches: readonly (readonly number[])[];
  }[] = [
    { sizes: [1, 2, 3, 4], batches: [[1, 2, 3]] },
    { sizes: [60, 30, 20], batches: [[60, 30]] },
    { sizes: [60, 40, 1], batches: [[60, 40]] },
    { sizes: [10, 500, 20], batches: [[10], [500]] },
    { sizes: [1, 2], waitMs: 49, batches: [] },
    { sizes: [1, 2], waitMs: 50, batches: [[1, 2]] },
    { limits: { maxEvents: null }, sizes: [1, 2, 3, 4, 5], batches: [] },
    { limits: { maxEvents: 1 }, sizes: [1, 2], batches: [[1], [2]] },
  ];
  for (const { limits, sizes, waitMs = 0, batches } of cases) {
    const clock = new ManualClock();
    const got: (readonly number[])[] = [];
    const batcher = new Batcher<number>({ ...base, ...limits }, clock, (items) => got.push(items));
    for (const size of sizes) batcher.add(size, size);
    clock.advance(waitMs);
    t.same(got, batches, JSON.stringify(sizes));
  }
  t.end();
});

void t.test('the age of a batch is that of its first message', (t) => {
  const clock = new ManualClock();
  const got: (readonly string[])[] = [];
  const batcher = new Batcher<string>({ maxEvents: 2, maxBytes: 100, maxAgeMs: 50 }, clock, (items) => got.push(items));

  batcher.add('a', 1);
  batcher.add('b', 1);
  clock.advance(30);
  batcher.add('c', 1);
  clock.advance(30);
  t.same(got, [['a', 'b']]);
  clock.advance(20);
  t.same(got, [['a', 'b'], ['c']]);
  batcher.flush();
  t.equal(got.length, 2);
  t.end();
});

void t.test('settings resolve to those of the sink, and prefetch covers the batches in flight', (t) => {
  const sink: SinkDefinition<Record<string, never>> = {
    type: 'here',
    settings: {},
    defaults: { batchEvents: 500, batchBytes: 1000, batchAgeMs: 50 },
    create: () => {
      throw new Error('not made here');
    },
  };
  const cases: readonly (readonly [
    Record<string, string>,
    Partial<SinkDefinition<Record<string, never>>>,
    Partial<DeliveryOptions>,
  ])[] = [
    [
      {},
      {},
      {
        name: 'here',
        batchEvents: 500,
        batchBytes: 1000,
        batchAgeMs: 50,
        concurrency: 4,
        poisonAfterMs: 300_000,
        prefetch: 2500,
      },
    ],
    [
      { SINK_NAME: 'archive', SINK_BATCH_EVENTS: '10', SINK_BATCH_AGE: '2s', SINK_BATCH_BYTES: '1MiB' },
      {},
      { name: 'archive', batchEvents: 10, batchBytes: 1_048_576, batchAgeMs: 2000, prefetch: 50 },
    ],
    [{ SINK_CONCURRENCY: '8' }, { maxConcurrency: 1 }, { concurrency: 1, poisonAfterMs: 0, prefetch: 1000 }],
    [{ SINK_WORKER_COUNT: '2' }, {}, { concurrency: 2, prefetch: 1500 }],
    [{ SINK_AMQP_WORKERS: '3' }, {}, { concurrency: 3 }],
    [{ SINK_MONGODB_WORKERS: '3' }, {}, { concurrency: 3 }],
    [{}, { defaults: { ...sink.defaults, batchEvents: null } }, { batchEvents: null, prefetch: 65_535 }],
    [{ SINK_CONCURRENCY: '1000' }, {}, { prefetch: 65_535 }],
  ];
  for (const [env, changes, expected] of cases) {
    const resolved = resolveDelivery(
      loadConfig(deliverySettings, { env: { SINK_TYPE: 'here', ...env } }),
      { ...sink, ...changes },
      {},
    );
    t.match(resolved, expected, JSON.stringify(env));
    t.equal(resolved.encodedBytes(makeMessage('a')), 8);
  }
  t.end();
});

void t.test('settings that cannot work are refused together', (t) => {
  const env = {
    SINK_TYPE: 'http',
    SINK_NAME: 'a/b',
    SINK_RETRY_MIN: '0s',
    SINK_TIMEOUT: '0s',
    SINK_CONCURRENCY: '0',
    SINK_POISON_AFTER: '11m',
  };
  const load = (changes: Record<string, string>): unknown =>
    loadConfig(deliverySettings, { env: changes, check: deliveryProblems });
  for (const name of ['SINK_NAME', 'SINK_RETRY_MIN', 'SINK_TIMEOUT', 'SINK_CONCURRENCY', 'SINK_POISON_AFTER'])
    t.throws(() => load(env), { message: new RegExp(`Expected \`${name}\``, 'u') });
  t.throws(() => load({ SINK_TYPE: 'http', SINK_RETRY_MIN: '1m' }), {
    message: 'Expected `SINK_RETRY_MIN` to be at most `SINK_RETRY_MAX`, got 1m and 30s',
  });
  t.end();
});

void t.test('each message is settled when its batch was taken', async (t) => {
  const { delivery, hand, settlements, writes, clock } = setStage();
  await delivery.start(never);

  hand('abcd');
  await settled();
  t.same(writes, ['abc']);
  t.same(settlements, { a: ack, b: ack, c: ack });
  clock.advance(500);
  await settled();
  t.same(writes, ['abc', 'd']);
  t.same(settlements['d'], ack);
});

void t.test('at most so many batches are in flight, and one keeps the order', async (t) => {
  for (const concurrency of [1, 3]) {
    const held = heldWrites();
    const { delivery, hand, settlements, writes } = setStage(held, { concurrency, batchEvents: 1 });
    await delivery.start(never);

    hand('abcdefgh');
    for (let done = 0; done < 8; done += 1) (await eventually(() => held.release[done]))();
    await settled();

    t.equal(held.most(), concurrency);
    t.equal(writes.join(''), 'abcdefgh');
    t.equal(Object.keys(settlements).length, 8);
  }
});

void t.test('batches wait until the sink is connected', async (t) => {
  let isUp = false;
  const { delivery, hand, writes, clock } = setStage({
    connect: async () => {
      if (!isUp) throw new Error('no route');
    },
  });
  const starting = delivery.start(never);
  hand('abc');
  await settled();
  t.same(writes, []);
  t.same(delivery.healthCheck.check(), { status: 'fail', detail: 'no route' });

  isUp = true;
  clock.advance(1000);
  await starting;
  await settled();
  t.same(writes, ['abc']);
  t.same(delivery.healthCheck.check(), { status: 'pass' });
});

void t.test('a sink that can never connect keeps the service from starting', async (t) => {
  const { delivery, calls } = setStage({
    connect: async () => {
      throw permanent('the package is not installed');
    },
  });

  await t.rejects(delivery.start(never), { message: 'the package is not installed' });
  await delivery.stop(never);
  t.same(calls, ['close']);
});

void t.test('a write that takes too long is cut off and tried again', async (t) => {
  const cases: readonly (readonly [string, Sink['write']])[] = [
    [
      'listens',
      (_batch, signal) =>
        new Promise((_resolve, reject) => {
          signal.addEventListener('abort', () => {
            reject(new Error('aborted'));
          });
        }),
    ],
    ['does not listen', () => new Promise(() => undefined)],
  ];
  for (const [name, hang] of cases) {
    let tries = 0;
    const stage = setStage({
      write: (batch, signal) => {
        tries += 1;
        return tries === 1 ? hang(batch, signal) : Promise.resolve();
      },
    });
    await stage.delivery.start(never);
    stage.hand('abc');
    for (const ms of [1999, 1, 1000, 100]) {
      await settled();
      stage.clock.advance(ms);
    }
    await settled();
    t.same(stage.writes, ['abc', 'abc'], name);
    t.same(stage.settlements, { a: ack, b: ack, c: ack }, name);
  }
});

void t.test('what was taken before the time was up is not sent again', async (t) => {
  const { delivery, hand, writes, settlements, clock } = setStage({
    write: (batch, signal) =>
      batch.length === 1
        ? Promise.resolve()
        : new Promise((_resolve, reject) => {
            signal.addEventListener('abort', () => {
              reject(partial('2 of 3', [{ index: 2, reason: 'no time', retryable: true }]));
            });
          }),
  });
  await delivery.start(never);

  hand('abc');
  await settled();
  clock.advance(2000);
  await settled();
  t.same(settlements, { a: ack, b: ack });
  clock.advance(100);
  await settled();
  t.same(writes, ['abc', 'c']);
});

void t.test('the health fails after failures in a row, not by refusals', async (t) => {
  let answer: Error | undefined = permanent('400');
  const { delivery, hand, clock } = setStage(
    {
      write: async () => {
        if (answer !== undefined) throw answer;
      },
    },
    { batchEvents: 1 },
  );
  await delivery.start(never);
  const tryTimes = async (times: number): Promise<void> => {
    for (let time = 0; time < times; time += 1) {
      await settled();
      clock.advance(1000);
    }
    await settled();
  };

  hand('abcd');
  await tryTimes(1);
  t.equal(delivery.healthCheck.check().status, 'pass');
  answer = retryable('503');
  hand('e');
  await tryTimes(1);
  t.equal(delivery.healthCheck.check().status, 'pass');
  await tryTimes(2);
  t.match(delivery.healthCheck.check(), { status: 'fail', detail: /tries in a row failed: 503/u });
  answer = undefined;
  await tryTimes(1);
  t.equal(delivery.healthCheck.check().status, 'pass');
});

void t.test('stop flushes what is held and takes nothing new', async (t) => {
  const { delivery, hand, settlements, writes, calls } = setStage();
  await delivery.start(never);

  hand('abcde');
  await delivery.stop(never);
  hand('f');
  await delivery.stop(never);
  await settled();

  t.same(writes, ['abc', 'de']);
  t.match(settlements, { a: ack, d: ack, e: ack, f: handedBack });
  t.same(calls, ['close']);
});

void t.test('stop does not wait for a destination that is down', async (t) => {
  const { delivery, hand, settlements, calls } = setStage({
    write: async () => {
      throw retryable('down', 60_000);
    },
  });
  await delivery.start(never);

  hand('abcd');
  await settled();
  await delivery.stop(never);

  t.same(settlements, { a: handedBack, b: handedBack, c: handedBack, d: handedBack });
  t.same(calls, ['close']);
});

void t.test('stop before the sink is connected gives everything back', async (t) => {
  const { delivery, hand, settlements } = setStage({
    connect: (signal) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => {
          reject(new Error('aborted'));
        });
      }),
  });
  const unstarted = setStage();
  const starting = delivery.start(never);

  hand('abcd');
  await delivery.stop(never);
  unstarted.hand('a');
  await unstarted.delivery.stop(never);
  await starting;

  t.same(settlements, { a: handedBack, b: handedBack, c: handedBack, d: handedBack });
  t.same(unstarted.settlements, { a: handedBack });
});

void t.test('at the deadline the write under way is cut off and its messages go back', async (t) => {
  let isAborted = false;
  const { delivery, hand, settlements, calls, clock } = setStage({
    write: (_batch: Batch, signal) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => {
          isAborted = true;
          reject(new Error('aborted'));
        });
      }),
  });
  const deadline = new AbortController();
  await delivery.start(never);

  hand('abcdefg');
  await settled();
  const stopping = delivery.stop(deadline.signal);
  await settled();
  t.same(settlements, {});
  deadline.abort();
  await stopping;

  t.ok(isAborted);
  t.same(settlements, Object.fromEntries([...'abcdefg'].map((name) => [name, handedBack])));
  t.same(calls, ['close']);
  t.equal(clock.timers, 0, 'nothing keeps the process from ending');
});

void t.test("on the system's clock a thousand messages pass", async (t) => {
  const metrics = createMetrics({ service: 'test', version: '0' });
  let taken = 0;
  const sink: Sink = {
    connect: async () => undefined,
    write: async (batch) => {
      taken += batch.length;
    },
    healthcheck: async () => undefined,
    close: async () => undefined,
  };
  const delivery = createDelivery({
    sink,
    options: { ...options, batchEvents: 64, batchAgeMs: 5, concurrency: 16 },
    telemetry: createDeliveryTelemetry('here', { metrics, log: recordingLog().log, clock: systemClock }),
    clock: systemClock,
  });
  await delivery.start(never);

  const all = await Promise.all(
    Array.from({ length: 1000 }, (_, n) =>
      delivery.handle({ message: makeMessage(String(n)), redelivered: false, receivedAtMs: 0 }),
    ),
  );
  await delivery.stop(never);

  t.ok(all.every((settlement) => settlement.action === 'ack'));
  t.equal(taken, 1000);
});
