import t from 'tap';
import { decideGap, type GapDecision, type StreamBeginning } from './decide-gap.ts';

t.test('the first frame decides whether frames are missing', (t) => {
  const cases: readonly (readonly [string, StreamBeginning, GapDecision])[] = [
    ['no checkpoint', { resumedAt: undefined, first: 5, isFilterChanged: false }, { kind: 'first-start' }],
    ['no checkpoint and nothing there', { resumedAt: undefined, first: 'nothing', isFilterChanged: false }, { kind: 'first-start' }],
    ['the frame asked for', { resumedAt: 5, first: 5, isFilterChanged: false }, { kind: 'contiguous' }],
    ['a later frame', { resumedAt: 5, first: 6, isFilterChanged: false }, { kind: 'gap', reason: 'evicted' }],
    ['nothing', { resumedAt: 5, first: 'nothing', isFilterChanged: false }, { kind: 'gap', reason: 'not-in-buffer' }],
    ['an earlier frame', { resumedAt: 5, first: 4, isFilterChanged: false }, { kind: 'gap', reason: 'index-went-back' }],
    ['another filter', { resumedAt: 5, first: 5, isFilterChanged: true }, { kind: 'gap', reason: 'filter-changed' }],
  ];
  for (const [name, beginning, decision] of cases) t.strictSame(decideGap(beginning), decision, name);
  t.end();
});
