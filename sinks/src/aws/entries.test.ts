import { permanent, retryable, type SinkPartialError } from '@hydrant/shared/delivery/sink';
import { errorCode } from '@hydrant/shared/foundation/errors';
import t from 'tap';
import { explainCall } from './aws-client.ts';
import { makeCalls, sendEntries, type Entry, type EntryFailure } from './entries.ts';

const limits = { maxEntries: 3, maxBytes: 100, maxEntryBytes: 80 };

function makeEntries(...sizes: readonly number[]): readonly Entry<number>[] {
  return sizes.map((bytes, index) => ({ index, value: index, bytes }));
}

void t.test('calls keep the order and the limits', (t) => {
  const cases: readonly (readonly [readonly number[], readonly (readonly number[])[]])[] = [
    [[], []],
    [[1], [[0]]],
    [
      [1, 1, 1, 1],
      [[0, 1, 2], [3]],
    ],
    [
      [50, 50, 1],
      [[0, 1], [2]],
    ],
    [
      [80, 30, 80],
      [[0], [1], [2]],
    ],
    [
      [50, 51],
      [[0], [1]],
    ],
  ];
  for (const [sizes, calls] of cases)
    t.same(
      makeCalls(makeEntries(...sizes), limits).map((call) => call.map(({ value }) => value)),
      calls,
    );
  t.end();
});

type Answer = readonly EntryFailure[] | Error;

async function outcome(sizes: readonly number[], answers: readonly Answer[]) {
  const sent: (readonly number[])[] = [];
  const error: unknown = await sendEntries(makeEntries(...sizes), limits, async (values) => {
    const answer = answers[sent.length] ?? [];
    sent.push(values);
    if (answer instanceof Error) throw answer;
    return answer;
  }).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  const failures =
    errorCode(error) === 'sink-partial'
      ? (error as SinkPartialError).failures.map(({ index, retryable: isWorthIt }) => [index, isWorthIt])
      : undefined;
  return { code: errorCode(error), failures, calls: sent.length };
}

void t.test('what was not taken is named, entry by entry', async (t) => {
  const later = (position: number): EntryFailure => ({ position, reason: 'later', retryable: true });
  const no = (position: number): EntryFailure => ({ position, reason: 'no', retryable: false });
  const cases: readonly (readonly [string, readonly number[], readonly Answer[], object])[] = [
    ['all taken', [1, 1, 1, 1], [], { code: undefined, calls: 2 }],
    [
      'some of a call',
      [1, 1, 1],
      [[later(1), no(2)]],
      {
        code: 'sink-partial',
        failures: [
          [1, true],
          [2, false],
        ],
      },
    ],
    [
      'of the second call',
      [1, 1, 1, 1, 1],
      [[], [later(1)]],
      { code: 'sink-partial', failures: [[4, true]], calls: 2 },
    ],
    ['all, later', [1, 1], [[later(0), later(1)]], { code: 'sink-retryable' }],
    ['all, never', [1], [[no(0)]], { code: 'sink-partial', failures: [[0, false]] }],
    ['one call fails', [1, 1], [retryable('x')], { code: 'sink-retryable' }],
    ['one call is refused', [1, 1], [permanent('x')], { code: 'sink-permanent' }],
    ['the first of two fails', [1, 1, 1, 1], [retryable('x')], { code: 'sink-retryable', calls: 1 }],
    [
      'the second of three fails',
      [1, 1, 1, 1, 1, 1, 1],
      [[no(0)], retryable('x')],
      {
        code: 'sink-partial',
        failures: [
          [0, false],
          [3, true],
          [4, true],
          [5, true],
          [6, true],
        ],
        calls: 2,
      },
    ],
    [
      'the first of two is refused',
      [1, 1, 1, 1],
      [permanent('x')],
      {
        code: 'sink-partial',
        failures: [
          [0, true],
          [1, true],
          [2, true],
        ],
        calls: 2,
      },
    ],
    [
      'one of one in the second is refused',
      [1, 1, 1, 1],
      [[], permanent('x')],
      { code: 'sink-partial', failures: [[3, false]] },
    ],
    ['too large', [1, 81, 1], [], { code: 'sink-partial', failures: [[1, false]], calls: 1 }],
    ['only too large', [81], [], { code: 'sink-partial', failures: [[0, false]], calls: 0 }],
    [
      'too large beside a call that fails',
      [81, 1],
      [retryable('x')],
      {
        code: 'sink-partial',
        failures: [
          [0, false],
          [1, true],
        ],
      },
    ],
  ];
  for (const [name, sizes, answers, expected] of cases) t.match(await outcome(sizes, answers), expected, name);
});

void t.test('a call that failed waits unless the batch itself is refused, and says what to do', (t) => {
  const named = (name: string): Error => Object.assign(new Error('it says why'), { name });
  const context = { where: 'the queue events', refusals: new Set(['TooLong']), hints: { NoQueue: 'make it' } };
  t.match(explainCall(named('TooLong'), context), {
    code: 'sink-permanent',
    message: 'Expected the queue events to take messages, got TooLong: it says why',
  });
  t.match(explainCall(named('NoQueue'), context), { code: 'sink-retryable', message: /\(make it\)$/u });
  t.match(explainCall(named('AccessDeniedException'), context), {
    code: 'sink-retryable',
    message: /lacks the right/u,
  });
  t.match(explainCall('thrown', context), { code: 'sink-retryable' });
  t.end();
});
