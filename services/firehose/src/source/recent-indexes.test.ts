import t from 'tap';
import { createRecentIndexes } from './recent-indexes.ts';

t.test('the newest index that is not beyond the one asked for is found', (t) => {
  const recent = createRecentIndexes(3);
  t.equal(recent.atOrBefore(5), undefined);
  for (const index of [10, 10, 12, 20]) recent.add(index);

  const cases: readonly (readonly [number, number | undefined])[] = [
    [9, undefined],
    [10, 10],
    [11, 10],
    [19, 12],
    [100, 20],
  ];
  for (const [index, expected] of cases) t.equal(recent.atOrBefore(index), expected, String(index));

  recent.add(11);
  t.equal(recent.atOrBefore(100), 11, 'what is beyond an index that came later is another history');
  for (let index = 30; index < 40; index += 1) recent.add(index);
  t.equal(recent.atOrBefore(11), undefined, 'too long ago');
  t.equal(recent.atOrBefore(38), 38);
  t.end();
});
