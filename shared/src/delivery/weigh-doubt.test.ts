import t from 'tap';
import { noDoubt, weighDoubt, type Doubt, type DoubtStep, type Tally } from './weigh-doubt.ts';

const afterMs = 300_000;

interface Round {
  /** Tries of others since the round before. */
  readonly taken?: number;
  readonly failed?: number;
  readonly messages?: number;
  readonly isDoubtful?: boolean;
  readonly isBroken?: boolean;
  /** Since the round before. */
  readonly ms?: number;
}

/** The step after each failure, and what is thought in the end. The first failures of a batch count in the tally. */
function weigh(
  rounds: readonly Round[],
  poisonAfterMs = afterMs,
): { readonly steps: readonly DoubtStep[]; readonly doubt: Doubt } {
  const steps: DoubtStep[] = [];
  let tally: Tally = { taken: 10, failed: 0 };
  let doubt = noDoubt;
  let nowMs = 0;
  for (const { taken = 0, failed = 0, messages = 1, isBroken = false, isDoubtful = !isBroken, ms = 10_000 } of rounds) {
    nowMs += ms;
    tally = { taken: tally.taken + taken, failed: tally.failed + failed + (doubt.isAside ? 0 : 1) };
    const weighed = weighDoubt(doubt, { isDoubtful, isBroken, messages, tally, nowMs }, poisonAfterMs);
    doubt = weighed.doubt;
    steps.push(weighed.step);
  }
  return { steps, doubt };
}

function times(count: number, round: Round): readonly Round[] {
  return Array.from({ length: count }, () => round);
}

const wait = 'wait' as const;
const aside = 'set-aside' as const;
const takenWhile: Round = { taken: 5 };

void t.test('a batch in doubt is split after some failures, whatever else happens', (t) => {
  const cases: readonly (readonly [string, readonly Round[], readonly DoubtStep[]])[] = [
    ['server errors', times(4, { messages: 500 }), [wait, wait, 'split', 'split']],
    ['the half of one that was split', [...times(3, { messages: 2 }), { messages: 1 }], [wait, wait, 'split', wait]],
    ['no connection', times(6, { messages: 500, isDoubtful: false }), times(6, {}).map(() => wait)],
    [
      'no connection in between',
      [{ messages: 2 }, { messages: 2 }, { messages: 2, isDoubtful: false }, { messages: 2 }],
      [wait, wait, wait, wait],
    ],
  ];
  for (const [name, rounds, steps] of cases) t.same(weigh(rounds).steps, steps, name);
  t.end();
});

void t.test('a message alone is set aside when others are taken, and dead-lettered when that lasts', (t) => {
  const cases: readonly (readonly [string, readonly Round[], DoubtStep])[] = [
    ['nothing else is tried', times(1000, {}), wait],
    ['everything else fails too', times(1000, { failed: 5 }), wait],
    ['the first failure says nothing yet', [takenWhile], wait],
    ['others are taken', [{}, takenWhile], aside],
    [
      'its neighbours were taken when their batch was split',
      [...times(3, { messages: 4 }), { messages: 2, taken: 1 }, {}],
      aside,
    ],
    ['for almost long enough', [{}, ...times(30, takenWhile)], aside],
    ['for long enough', [{}, ...times(31, takenWhile)], 'dead-letter'],
    ['for long, but seldom tried', [{}, ...times(4, { taken: 5, ms: 600_000 })], aside],
    ['for long, and tried often enough', [{}, ...times(5, { taken: 5, ms: 600_000 })], 'dead-letter'],
    ['then the destination goes down for long', [{}, takenWhile, takenWhile, ...times(500, { failed: 5 })], aside],
    ['then the destination cannot be reached', [{}, ...times(30, takenWhile), { taken: 5, isDoubtful: false }], aside],
    [
      'it took others in the end, not between the failures before',
      [{}, takenWhile, ...times(100, { failed: 1 }), takenWhile],
      aside,
    ],
  ];
  for (const [name, rounds, step] of cases) t.equal(weigh(rounds).steps.at(-1), step, name);
  t.end();
});

void t.test('a destination that fails by turns makes no dead letters of those with bad luck', (t) => {
  const cases: readonly (readonly [string, number, number, number])[] = [
    // Nine of ten tries fail: one in a million fails 132 times in a row.
    ['nine of ten fail', 1, 9, 132],
    ['half of them fail', 5, 5, 31],
    ['one of ten fails', 9, 1, 31],
  ];
  for (const [name, taken, failed, strikes] of cases) {
    const { steps } = weigh([{}, ...times(300, { taken, failed })]);
    t.equal(steps.indexOf('dead-letter'), strikes, name);
  }
  t.end();
});

const broken: Round = { isBroken: true, messages: 500, ms: 1000 };
const brokenAlone: Round = { isBroken: true, messages: 1, taken: 5 };

void t.test(
  'a batch whose connection breaks each time is split when others are taken, or after a while in any case',
  (t) => {
    const cases: readonly (readonly [string, readonly Round[], DoubtStep])[] = [
      ['the first time', [broken], wait],
      ['others are taken, but it has not been long', times(5, { ...broken, taken: 5 }), wait],
      ['others are taken, for some seconds', times(6, { ...broken, taken: 5 }), 'split'],
      [
        'others were taken in the beginning only',
        [broken, ...times(2, { ...broken, taken: 5 }), ...times(10, broken)],
        wait,
      ],
      ['nothing else shows whether the destination works', times(30, broken), wait],
      ['nothing else shows it, for half a minute', times(31, broken), 'split'],
      ['it is seldom tried', times(5, { ...broken, ms: 60_000 }), wait],
      ['its halves break too', [...times(6, { ...broken, taken: 5 }), { ...broken, messages: 250 }], 'split'],
      [
        'a refused connection in between begins anew',
        [
          ...times(5, { ...broken, taken: 5 }),
          { messages: 500, isDoubtful: false },
          ...times(2, { ...broken, taken: 5 }),
        ],
        wait,
      ],
      ['server errors are counted by themselves', [broken, broken, { messages: 500 }, { messages: 500 }, broken], wait],
    ];
    for (const [name, rounds, step] of cases)
      for (const poisonAfterMs of [afterMs, 0]) t.equal(weigh(rounds, poisonAfterMs).steps.at(-1), step, name);
    t.end();
  },
);

void t.test('a message whose connection breaks each time is never dead-lettered for it', (t) => {
  t.same([...new Set(weigh(times(1000, brokenAlone)).steps)], [wait, aside]);
  t.same([...new Set(weigh(times(1000, { ...brokenAlone, taken: 0 })).steps)], [wait], 'nothing else is taken');
  t.same([...new Set(weigh(times(1000, brokenAlone), 0).steps)], [wait], 'nothing may go before it');
  t.equal(
    weigh([...times(100, brokenAlone), {}, ...times(3, takenWhile)]).steps.includes('dead-letter'),
    false,
    'breaks are no server errors',
  );
  t.end();
});

void t.test('with SINK_POISON_AFTER=0s nobody is suspected', (t) => {
  t.same([...new Set(weigh([...times(5, { messages: 500, taken: 5 }), ...times(500, takenWhile)], 0).steps)], ['wait']);
  t.end();
});
