import t from 'tap';
import { decideBehind, decideGap, type BehindDecision, type GapDecision, type StreamBeginning } from './decide-gap.ts';
import type { LeaderIndex } from './leader-index.ts';

t.test('the first frame decides whether frames are missing', (t) => {
  const cases: readonly (readonly [string, StreamBeginning, GapDecision])[] = [
    ['no checkpoint', { resumedAt: undefined, first: 5 }, { kind: 'first-start' }],
    ['no checkpoint and nothing there', { resumedAt: undefined, first: 'nothing' }, { kind: 'first-start' }],
    ['the frame asked for', { resumedAt: 5, first: 5 }, { kind: 'contiguous' }],
    ['a later frame', { resumedAt: 5, first: 6 }, { kind: 'gap', reason: 'evicted', since: 5 }],
    ['nothing', { resumedAt: 5, first: 'nothing' }, { kind: 'gap', reason: 'not-in-buffer', since: 0 }],
    ['an earlier frame', { resumedAt: 5, first: 4 }, { kind: 'behind' }],
  ];
  for (const [name, beginning, decision] of cases) t.strictSame(decideGap(beginning), decision, name);
  t.end();
});

t.test('the leader decides what an earlier frame means, as far as its lists can know', (t) => {
  const all = (index: number): LeaderIndex => ({ index, isComplete: true });
  const some = (index: number): LeaderIndex => ({ index, isComplete: false });
  const cases: readonly (readonly [
    string,
    Parameters<typeof decideBehind>[1],
    Partial<Parameters<typeof decideBehind>[2]>,
    BehindDecision,
  ])[] = [
    ['it is where we are', all(5), {}, { kind: 'lagging' }],
    ['it is further', all(500), {}, { kind: 'lagging' }],
    ['it is further, by some of the topics', some(500), {}, { kind: 'lagging' }],
    ['it is further, at an address that is new', all(500), { isElsewhere: true }, { kind: 'lagging' }],
    ['it is behind', all(4), {}, { kind: 'gap', reason: 'rebuilt', since: 0 }],
    ['it is behind, at an address that is new', all(4), { isElsewhere: true }, { kind: 'foreign' }],
    ['it is behind in topics that need not be that of the checkpoint', some(4), {}, { kind: 'undecided' }],
    ['the same at an address that is new', some(4), { isElsewhere: true }, { kind: 'undecided' }],
    [
      'the same, and the stream did not catch up',
      some(4),
      { isLate: true },
      { kind: 'gap', reason: 'index-went-back', since: 0 },
    ],
    ['it is further, and the stream did not catch up', some(5), { isLate: true }, { kind: 'lagging' }],
    ['it does not say', undefined, {}, { kind: 'undecided' }],
    [
      'it does not say, and the stream did not catch up',
      undefined,
      { isLate: true },
      { kind: 'gap', reason: 'index-went-back', since: 0 },
    ],
  ];
  for (const [name, leader, given, decision] of cases)
    t.strictSame(decideBehind(5, leader, { isElsewhere: false, isLate: false, ...given }), decision, name);
  t.end();
});
