import { recordingLog } from '@hydrant/testing/test-log';
import t from 'tap';
import type { Settlement } from '../bus/bus.ts';
import { systemClock, type Clock } from '../foundation/clock.ts';
import type { Message } from '../messages/message.ts';
import { createMetrics } from '../runtime/telemetry/metrics.ts';
import { deliverBatch, type DeliverPorts, type RetryOptions } from './deliver-batch.ts';
import { createDeliveryTelemetry } from './delivery-telemetry.ts';
import { judge } from './judge-failure.ts';
import { broken, doubtful, partial, permanent, retryable, type Batch } from './sink.ts';

const never = new AbortController().signal;
const steady: RetryOptions = { minMs: 100, maxMs: 400, forMs: 0 };

function makeMessage(name: string): Message {
  return {
    id: name,
    routingKey: 'event.Job.JobRegistered.default.web',
    type: 'nomad.Job.JobRegistered',
    contentType: 'application/json',
    appId: 'test',
    timestampMs: 0,
    headers: {},
    body: Buffer.from('{}'),
  };
}

/** Time that passes only by sleeping. */
function sleepingClock(): { readonly clock: Clock; readonly slept: number[] } {
  const slept: number[] = [];
  let nowMs = 0;
  const sleep = (ms: number): Promise<void> => {
    slept.push(ms);
    nowMs += ms;
    return Promise.resolve();
  };
  return { clock: { ...systemClock, monotonic: () => nowMs, sleep }, slept };
}

interface Delivered {
  readonly settlements: Readonly<Record<string, Settlement>>;
  /** Ids of each try. */
  readonly tries: readonly string[];
  readonly slept: readonly number[];
  /** Those that were set aside, with the attempts so far. */
  readonly aside: Readonly<Record<string, number>>;
  readonly metrics: string;
  readonly lines: readonly { readonly level: string; readonly msg: string }[];
}

interface Given {
  readonly retry?: RetryOptions;
  readonly stopping?: AbortSignal;
  readonly poisonAfterMs?: number;
}

/** Delivers one batch; the sink does as `write` says. */
async function deliver(
  names: string,
  write: (names: string, attempt: number) => void,
  given: Given = {},
): Promise<Delivered> {
  const { clock, slept } = sleepingClock();
  const { log, lines } = recordingLog('info');
  const metrics = createMetrics({ service: 'test', version: '0' });
  const settlements: Record<string, Settlement> = {};
  const tries: string[] = [];
  const aside: Record<string, number> = {};
  let taken = 0;
  const items = [...names].map((name) => ({
    message: makeMessage(name),
    settle(settlement: Settlement) {
      if (name in settlements) throw new Error(`${name} was settled twice`);
      settlements[name] = settlement;
    },
  }));
  const ports: DeliverPorts = {
    async write(batch: Batch) {
      const ids = batch.map((message) => message.id).join('');
      tries.push(ids);
      write(ids, tries.length);
      taken += 1;
    },
    tally: () => ({ taken, failed: tries.length - taken }),
    setAside: (item, history) => {
      aside[item.message.id] = history.attempts;
    },
    poisonAfterMs: given.poisonAfterMs ?? 0,
    retry: given.retry ?? steady,
    stopping: given.stopping ?? never,
    clock,
    telemetry: createDeliveryTelemetry('here', { metrics, log, clock }),
  };
  await deliverBatch(items, ports);
  return { settlements, tries, slept, aside, lines, metrics: await metrics.text() };
}

const ack: Settlement = { action: 'ack' };

void t.test('a batch that is taken is acknowledged', async (t) => {
  const { settlements, tries, metrics, lines } = await deliver('abc', () => undefined);

  t.same(settlements, { a: ack, b: ack, c: ack });
  t.same(tries, ['abc']);
  t.match(metrics, 'hydrant_sink_messages_total{sink="here",outcome="delivered"} 3');
  t.match(metrics, 'hydrant_sink_batch_messages_sum{sink="here"} 3');
  t.match(metrics, /hydrant_sink_age_seconds\{sink="here"\} \d/u);
  t.same(lines, []);
});

void t.test('a batch that fails is tried again with growing pauses, and told of once', async (t) => {
  const { settlements, slept, lines, metrics } = await deliver('ab', (_names, attempt) => {
    if (attempt < 6) throw new Error('no route to host');
  });

  t.same(settlements, { a: ack, b: ack });
  t.equal(slept.length, 5);
  for (const [at, ceiling] of [100, 200, 400, 400, 400].entries()) t.ok((slept[at] ?? Infinity) <= ceiling);
  t.match(metrics, 'hydrant_sink_retries_total{sink="here"} 5');
  t.match(metrics, 'hydrant_sink_write_seconds_count{sink="here",outcome="failed"} 5');
  t.match(lines, [
    { level: 'warn', msg: 'Delivery failed, will retry', reason: 'no route to host' },
    { level: 'info', msg: 'Delivery works again' },
  ]);
});

void t.test('the pause that a destination asks for is kept', async (t) => {
  const cases = [
    [7000, 7000],
    [10 ** 12, 600_000],
  ] as const;
  for (const [asked, kept] of cases) {
    const { slept } = await deliver('a', (_names, attempt) => {
      if (attempt === 1) throw retryable('busy', asked);
    });
    t.same(slept, [kept], `${String(asked)} ms`);
  }
});

void t.test('a refused batch is split until the culprits stand alone', async (t) => {
  const cases = [
    ['abcdefgh', 'c', 7],
    ['abcdefgh', 'a', 7],
    ['abcdefgh', 'h', 7],
    ['abcde', 'be', 9],
    ['a', 'a', 1],
    ['abcd', 'abcd', 7],
  ] as const;
  for (const [names, culprits, mostTries] of cases) {
    const { settlements, tries, metrics } = await deliver(names, (tried) => {
      if ([...culprits].some((culprit) => tried.includes(culprit))) throw permanent('400: not like this');
    });
    for (const name of names)
      t.equal(
        settlements[name]?.action,
        culprits.includes(name) ? 'dead-letter' : 'ack',
        `${name} of ${names} without ${culprits}`,
      );
    t.ok(tries.length <= mostTries, `${String(tries.length)} tries`);
    t.match(metrics, `hydrant_sink_messages_total{sink="here",outcome="dead-lettered"} ${String(culprits.length)}`);
  }
});

void t.test('a dead letter says why and after how many attempts', async (t) => {
  const { settlements, lines } = await deliver('ab', (tried, attempt) => {
    if (attempt === 1) throw retryable('busy');
    if (tried.includes('b')) throw permanent('400: no', new Error('field missing'));
  });

  t.same(settlements, { a: ack, b: { action: 'dead-letter', reason: '400: no: field missing', attempts: 3 } });
  t.match(lines.at(-1), { level: 'warn', msg: 'A message cannot be delivered, it goes to the dead letters', id: 'b' });
});

void t.test('after a partial failure each message meets its own fate', async (t) => {
  const { settlements, tries, slept, metrics } = await deliver('abcd', (_tried, attempt) => {
    if (attempt === 1)
      throw partial(
        '2 of 4',
        [
          { index: 1, reason: 'throttled', retryable: true },
          { index: 3, reason: 'too large', retryable: false },
        ],
        3000,
      );
  });

  t.same(settlements, { a: ack, b: ack, c: ack, d: { action: 'dead-letter', reason: 'too large', attempts: 1 } });
  t.same(tries, ['abcd', 'b']);
  t.same(slept, [3000]);
  t.match(metrics, 'hydrant_sink_messages_total{sink="here",outcome="delivered"} 3');
});

void t.test('pauses begin small again after progress', async (t) => {
  const { slept } = await deliver('abcdef', (tried) => {
    if (tried.length > 1)
      throw partial(
        'one at a time',
        [...tried].slice(1).map((_name, at) => ({ index: at + 1, reason: 'later', retryable: true })),
      );
  });

  t.equal(slept.length, 5);
  for (const pause of slept) t.ok(pause <= 100);
});

void t.test('a batch is given up after SINK_RETRY_FOR', async (t) => {
  const { settlements, slept } = await deliver(
    'ab',
    () => {
      throw retryable('down', 400);
    },
    { retry: { ...steady, forMs: 1000 } },
  );

  t.same(slept, [400, 400, 400]);
  const reason = 'Gave up after 4 attempts (SINK_RETRY_FOR): down';
  t.same(settlements, {
    a: { action: 'dead-letter', reason, attempts: 4 },
    b: { action: 'dead-letter', reason, attempts: 4 },
  });
});

void t.test('while stopping, what fails goes back and the rest is still tried', async (t) => {
  const { settlements, tries, slept } = await deliver(
    'abcd',
    (tried) => {
      if (tried.includes('d')) throw tried.length > 2 ? permanent('no') : retryable('down');
    },
    { stopping: AbortSignal.abort() },
  );

  t.same(tries, ['abcd', 'ab', 'cd']);
  t.same(slept, []);
  t.same(settlements, { a: ack, b: ack, c: { action: 'retry', afterMs: 0 }, d: { action: 'retry', afterMs: 0 } });
});

void t.test(
  'a batch that the destination breaks over is split, and who fails alone while others are taken is set aside',
  async (t) => {
    const { settlements, tries, aside, metrics } = await deliver(
      'abcd',
      (tried) => {
        if (tried.includes('d')) throw doubtful('500: broke');
      },
      { poisonAfterMs: 60_000 },
    );

    t.same(tries, ['abcd', 'abcd', 'abcd', 'ab', 'cd', 'c', 'd']);
    t.same(settlements, { a: ack, b: ack, c: ack });
    t.same(aside, { d: 5 });
    t.match(metrics, 'hydrant_sink_splits_total{sink="here"} 2');
  },
);

void t.test('while nothing is taken a batch is split in order and nobody is set aside', async (t) => {
  const { settlements, tries, slept, aside } = await deliver(
    'abcd',
    (_tried, attempt) => {
      if (attempt <= 12) throw doubtful('503: down');
    },
    { poisonAfterMs: 1 },
  );

  t.same(tries, [...['abcd', 'abcd', 'abcd', 'ab'], ...Array.from({ length: 9 }, () => 'a'), 'b', 'cd']);
  t.equal(slept.length, 12, 'the pauses go on as if it was one batch');
  t.same(settlements, { a: ack, b: ack, c: ack, d: ack });
  t.same(aside, {});
});

void t.test('what waits, or what nobody doubts, is never split', async (t) => {
  for (const failure of [
    retryable('429'),
    new Error('ECONNREFUSED'),
    partial(
      'none',
      [...'ab'].map((_name, index) => ({ index, reason: 'throttled', retryable: true })),
    ),
  ]) {
    const { tries } = await deliver(
      'ab',
      (_tried, attempt) => {
        if (attempt < 20) throw failure;
      },
      { poisonAfterMs: 1 },
    );
    t.same([...new Set(tries)], ['ab']);
  }
});

void t.test('an endpoint that resets what is above a size gets all of it in smaller batches, in order', async (t) => {
  const reset = retryable('got ECONNRESET', undefined, Object.assign(new Error('reset'), { code: 'ECONNRESET' }));

  const { settlements, tries, slept } = await deliver('abcdefgh', (names) => {
    if (names.length > 2) throw reset;
  });

  t.ok(Object.values(settlements).every(({ action }) => action === 'ack') && Object.keys(settlements).length === 8);
  t.same(
    tries.filter((names) => names.length <= 2),
    ['ab', 'cd', 'ef', 'gh'],
  );
  t.ok(slept.reduce((sum, ms) => sum + ms, 0) >= 30_000, 'not before it has lasted');
});

void t.test('a thrown value is judged by what it says of itself', (t) => {
  const failures = [{ index: 0, reason: 'full', retryable: false }];
  const failed = [{ index: 0, reason: '500', retryable: true, isDoubtful: true }];
  const cases = [
    [new Error('unknown'), { kind: 'retry', reason: 'unknown', afterMs: undefined, isDoubtful: false }],
    ['text', { kind: 'retry', reason: 'text', afterMs: undefined, isDoubtful: false }],
    [
      retryable('cut off', undefined, Object.assign(new Error('reset'), { code: 'ECONNRESET' })),
      { kind: 'retry', reason: 'cut off: reset', afterMs: undefined, isDoubtful: false, isBroken: true },
    ],
    [
      retryable('not there', undefined, Object.assign(new Error('refused'), { code: 'ECONNREFUSED' })),
      { kind: 'retry', reason: 'not there: refused', afterMs: undefined, isDoubtful: false },
    ],
    [
      broken('no answer'),
      { kind: 'retry', reason: 'no answer', afterMs: undefined, isDoubtful: false, isBroken: true },
    ],
    [retryable('busy', 5), { kind: 'retry', reason: 'busy', afterMs: 5, isDoubtful: false }],
    [doubtful('500'), { kind: 'retry', reason: '500', afterMs: undefined, isDoubtful: true }],
    [
      partial('some', failed),
      { kind: 'partial', reason: '500', afterMs: undefined, isDoubtful: true, failures: failed },
    ],
    [permanent('bad'), { kind: 'refused', reason: 'bad' }],
    [partial('some', failures), { kind: 'partial', reason: 'full', afterMs: undefined, isDoubtful: false, failures }],
  ] as const;
  for (const [thrown, verdict] of cases) t.same(judge(thrown), verdict);
  t.end();
});

void t.test('a destination that fails by turns is told of once in a while', (t) => {
  const { clock, slept } = sleepingClock();
  const { log, lines } = recordingLog('info');
  const telemetry = createDeliveryTelemetry('here', {
    metrics: createMetrics({ service: 'test', version: '0' }),
    log,
    clock,
  });
  const failByTurns = (): void => {
    for (let turn = 0; turn < 50; turn += 1) {
      telemetry.batchRetried({ reason: '429', attempts: 1, retryMs: 1, messages: 1 });
      telemetry.messagesDelivered(1, 2);
      telemetry.messageDeadLettered('a', 'no');
    }
  };

  failByTurns();
  t.equal(lines.length, 3);
  void clock.sleep(10_000);
  failByTurns();
  t.equal(lines.length, 6);
  t.match(lines.at(-1), { count: 50 });
  t.equal(slept.length, 1);
  t.end();
});
