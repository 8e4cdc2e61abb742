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
  const cases: readonly (readonly [string, Parameters<typeof decideBehind>, ReturnType<typeof decideBehind>])[] = [
    ['it is where we are', [5, 5, false], { kind: 'lagging' }],
    ['it is further', [5, 500, false], { kind: 'lagging' }],
    ['it is further, at an address that is new', [5, 500, true], { kind: 'lagging' }],
    ['it is behind', [5, 4, false], { kind: 'gap', reason: 'rebuilt', since: 0 }],
    ['it is behind, at an address that is new', [5, 4, true], { kind: 'foreign' }],
    ['it does not say', [5, undefined, false], { kind: 'gap', reason: 'index-went-back', since: 0 }],
    ['it does not say, at an address that is new', [5, undefined, true], { kind: 'gap', reason: 'index-went-back', since: 0 }],
  ];
  for (const [name, behind, decision] of cases) t.strictSame(decideBehind(...behind), decision, name);
  t.end();
});
