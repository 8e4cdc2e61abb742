import t from 'tap';
import { AckWindow } from './ack-window.ts';

interface Case {
  readonly name: string;
  readonly delivered: number;
  readonly settle: readonly number[];
  readonly forget?: readonly number[];
  readonly upTo: number | undefined;
  readonly single: readonly number[];
}

const cases: readonly Case[] = [
  { name: 'nothing settled', delivered: 3, settle: [], upTo: undefined, single: [] },
  { name: 'all settled, in any order', delivered: 3, settle: [2, 3, 1], upTo: 3, single: [] },
  { name: 'the oldest is unsettled', delivered: 3, settle: [2, 3], upTo: undefined, single: [2, 3] },
  { name: 'one in the middle is unsettled', delivered: 5, settle: [1, 2, 4, 5], upTo: 2, single: [4, 5] },
  { name: 'one in the middle was given back', delivered: 4, settle: [1, 3, 4], forget: [2], upTo: 4, single: [] },
  { name: 'settled twice and never delivered', delivered: 1, settle: [1, 1, 9], upTo: 1, single: [] },
];

t.test('acknowledgements reach up to the oldest unsettled delivery', (t) => {
  for (const one of cases) {
    const window = new AckWindow();
    for (let tag = 1; tag <= one.delivered; tag += 1) window.deliver(tag, tag * 10);
    for (const tag of one.forget ?? []) window.forget(tag);
    for (const tag of one.settle) window.settle(tag);

    t.strictSame(window.take(), { upTo: one.upTo, single: one.single }, one.name);
    t.strictSame(window.take(), { upTo: undefined, single: [] }, `${one.name}: taken once`);
  }
  t.end();
});

t.test('what was acknowledged alone does not hold up a later group', (t) => {
  const window = new AckWindow();
  for (const tag of [1, 2, 3]) window.deliver(tag, tag * 10);
  window.settle(2);
  t.strictSame(window.take(), { upTo: undefined, single: [2] });

  window.settle(1);
  t.strictSame(window.take(), { upTo: 1, single: [] });
  t.end();
});
