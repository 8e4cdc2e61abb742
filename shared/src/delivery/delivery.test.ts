import t from 'tap';
import type { Settlement } from '../bus/bus.ts';
import { partial, permanent, retryable, type Batch, type Sink } from './sink.ts';
import { ack, never, setStage, settled } from './delivery-cases-contract.ts';

const handedBack: Settlement = { action: 'retry', afterMs: 0 };

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
