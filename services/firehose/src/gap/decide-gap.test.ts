import t from 'tap';
import { decideBehind, decideGap, type GapDecision, type StreamBeginning } from './decide-gap.ts';

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

t.test('the leader decides what an earlier frame means', (t) => {
  t.strictSame(decideBehind(5, 5), { kind: 'lagging' });
  t.strictSame(decideBehind(5, 500), { kind: 'lagging' });
  t.strictSame(decideBehind(5, 4), { kind: 'gap', reason: 'rebuilt', since: 0 });
  t.strictSame(decideBehind(5, undefined), { kind: 'gap', reason: 'index-went-back', since: 0 });
  t.end();
});
