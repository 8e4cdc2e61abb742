import t from 'tap';
import {
  planRecovery,
  planSegments,
  type FoundSegment,
  type RecoveryPlan,
  type SavedCursors,
  type ScannedSegment,
} from './recovery.ts';

function found(first: number, firstRecord: number | undefined = first, intact?: number): FoundSegment {
  return {
    name: `${String(first).padStart(16, '0')}.log`,
    first,
    size: 100,
    firstRecord,
    ...(intact === undefined ? {} : { intact }),
  };
}

t.test('segments go by their first record', (t) => {
  const cases: readonly (readonly [
    what: string,
    found: readonly FoundSegment[],
    firsts: readonly number[],
    renamed: readonly number[],
    setAside: readonly string[],
  ])[] = [
    ['nothing', [], [], [], []],
    ['as they were written', [found(1), found(5)], [1, 5], [], []],
    [
      'a damaged beginning: the name counts',
      [{ name: '0000000000000005.log', first: 5, size: 9, firstRecord: undefined }],
      [5],
      [],
      [],
    ],
    ['renamed', [found(1), found(70, 5)], [1, 5], [5], []],
    ['copied', [found(1), found(5), found(70, 5)], [1, 5], [], ['0000000000000070.log']],
    [
      'copied, and the original damaged since',
      [found(1), found(5, 5, 3), found(70, 5, 4)],
      [1, 5],
      [5],
      ['0000000000000005.log'],
    ],
    ['copied, and both the same', [found(70, 5, 4), found(5, 5, 4)], [5], [], ['0000000000000070.log']],
    [
      'copied twice and the original gone',
      [found(1), found(70, 5), found(80, 5)],
      [1, 5],
      [5],
      ['0000000000000080.log'],
    ],
  ];
  for (const [what, files, firsts, renamed, setAside] of cases) {
    const plan = planSegments(files);
    t.same(
      plan.segments.map(({ first }) => first),
      firsts,
      what,
    );
    t.same(
      plan.rename.map(({ first }) => first),
      renamed,
      what,
    );
    t.same(plan.setAside, setAside, what);
  }
  t.end();
});

t.test('nothing that lies on the disk is passed over, and no position is given out twice', (t) => {
  const whole: ScannedSegment = { first: 11, last: 20, end: 900, size: 900 };
  const torn: ScannedSegment = { ...whole, last: 18, end: 700 };
  const saved = (last: number, positions: Readonly<Record<string, number>>): SavedCursors => ({
    state: 'intact',
    last,
    positions: new Map(Object.entries(positions)),
  });
  const plan = (changes: Partial<RecoveryPlan>): RecoveryPlan => ({
    next: 21,
    tail: undefined,
    cursors: new Map(),
    beginsAtOldest: false,
    lost: [],
    ...changes,
  });
  const cases: readonly (readonly [
    what: string,
    oldest: number,
    newest: ScannedSegment | undefined,
    saved: SavedCursors,
    plan: RecoveryPlan,
  ])[] = [
    ['a new folder', 1, undefined, { state: 'absent' }, plan({ next: 1 })],
    [
      'as it was closed',
      1,
      whole,
      saved(20, { a: 20, b: 3 }),
      plan({
        cursors: new Map([
          ['a', 20],
          ['b', 3],
        ]),
      }),
    ],
    ['no file of cursors', 1, whole, { state: 'absent' }, plan({ beginsAtOldest: true })],
    ['a damaged file of cursors', 1, whole, { state: 'damaged' }, plan({ beginsAtOldest: true })],
    ['a damaged file of cursors, and nothing else', 1, undefined, { state: 'damaged' }, plan({ next: 1 })],
    [
      'a torn tail',
      1,
      torn,
      saved(18, { a: 10 }),
      plan({ next: 19, tail: { bytes: 200, isProvenRecords: false }, cursors: new Map([['a', 10]]) }),
    ],
    [
      'a tail that a cursor has read',
      1,
      torn,
      saved(19, { a: 20, b: 20 }),
      plan({
        tail: { bytes: 200, isProvenRecords: true },
        cursors: new Map([
          ['a', 20],
          ['b', 20],
        ]),
      }),
    ],
    [
      'a tail that was there when the cursors were saved',
      1,
      torn,
      saved(20, { a: 10 }),
      plan({
        tail: { bytes: 200, isProvenRecords: true },
        cursors: new Map([['a', 10]]),
        lost: [{ from: 19, to: 20, cursors: ['a'] }],
      }),
    ],
    [
      'the oldest segment is gone',
      11,
      whole,
      saved(20, { a: 4, b: 15 }),
      plan({
        cursors: new Map([
          ['a', 10],
          ['b', 15],
        ]),
        lost: [{ from: 5, to: 10, cursors: ['a'] }],
      }),
    ],
    [
      'every segment is gone',
      21,
      undefined,
      saved(20, { a: 4 }),
      plan({ cursors: new Map([['a', 20]]), lost: [{ from: 5, to: 20, cursors: ['a'] }] }),
    ],
  ];
  for (const [what, oldest, newest, cursors, expected] of cases)
    t.same(planRecovery(oldest, newest, cursors), expected, what);
  t.end();
});
