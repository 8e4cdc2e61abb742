import t from 'tap';
import { TimeoutGuess, type LikelyTimeout } from './likely-timeout.ts';

function guesses(ends: readonly (readonly [openMs: number, quietMs: number])[]): (LikelyTimeout | undefined)[] {
  const guess = new TimeoutGuess();
  return ends.map(([openMs, quietMs]) => guess.ended({ openMs, quietMs }));
}

t.test('ends that agree tell a timeout, once until it changes', (t) => {
  const idle = { kind: 'idle', seconds: 3 } as const;
  const cases: readonly (readonly [
    string,
    readonly (readonly [number, number])[],
    readonly (LikelyTimeout | undefined)[],
  ])[] = [
    [
      'quiet for 3 s each time',
      [
        [3000, 3000],
        [3010, 3004],
        [2990, 2980],
        [3000, 3000],
      ],
      [undefined, undefined, idle, undefined],
    ],
    [
      'quiet for 3 s at the end of streams that were not',
      [
        [9000, 3000],
        [20_000, 3004],
        [4000, 3001],
      ],
      [undefined, undefined, idle],
    ],
    [
      'open for a minute each time',
      [
        [60_000, 100],
        [60_200, 7000],
        [59_900, 29_000],
      ],
      [undefined, undefined, { kind: 'age', seconds: 60 }],
    ],
    [
      'no two alike',
      [
        [3000, 3000],
        [9000, 9000],
        [3000, 3000],
      ],
      [undefined, undefined, undefined],
    ],
    [
      'too short to be a timeout',
      [
        [20, 20],
        [20, 20],
        [20, 20],
      ],
      [undefined, undefined, undefined],
    ],
    [
      'from 3 s to 5 s',
      [
        [3000, 3000],
        [3000, 3000],
        [3000, 3000],
        [5000, 5000],
        [5000, 5000],
        [5000, 5000],
      ],
      [undefined, undefined, idle, undefined, undefined, { kind: 'idle', seconds: 5 }],
    ],
  ];
  for (const [name, ends, expected] of cases) t.strictSame(guesses(ends), expected, name);
  t.end();
});
