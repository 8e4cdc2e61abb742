import t from 'tap';
import type { Frame } from '../source/scan-frame.ts';
import { RestoreWatch } from './restore-watch.ts';

function frame(index: number, topic: string, ...keys: readonly string[]): Pick<Frame, 'index' | 'events'> {
  const head = { topic, type: 'T', namespace: 'default', filterKeys: [], index };
  return { index, events: keys.map((key) => ({ start: 0, end: 0, head: { ...head, key } })) };
}

function listed(key: string, modifyIndex: number): Parameters<RestoreWatch['isOlder']>[3][number] {
  return { namespace: 'default', key, modifyIndex };
}

t.test('a list is older when its index or an object of it is', (t) => {
  const watch = new RestoreWatch();
  watch.show(frame(940, 'Job', 'api'));
  watch.show(frame(950, 'Job', 'web'));
  watch.show(frame(960, 'Node', 'n'));
  const mark = watch.mark();
  const cases: readonly (readonly [
    string,
    Parameters<RestoreWatch['isOlder']>[1],
    number,
    Parameters<RestoreWatch['isOlder']>[3],
    boolean,
  ])[] = [
    ['as new as the stream', 'Job', 950, [listed('web', 950), listed('api', 940), listed('other', 1)], false],
    ['newer', 'Job', 1_000, [listed('web', 1_000)], false],
    ['its index is lower', 'Job', 949, [], true],
    ['its index is not known', 'Job', 0, [listed('web', 950)], false],
    ['an object went back, though its list was written to since', 'Job', 1_000, [listed('web', 949)], true],
    ['another list', 'Evaluation', 5, [listed('web', 5)], false],
    ['nodes, which are sent unchanged as well', 'Node', 900, [listed('n', 900)], false],
  ];
  for (const [name, topic, index, objects, expected] of cases)
    t.equal(watch.isOlder(mark, topic, index, objects), expected, name);

  watch.show(frame(970, 'Job', 'web', 'api'));
  t.notOk(
    watch.isOlder(mark, 'Job', 950, [listed('web', 950), listed('api', 940)]),
    'what was shown after the list was asked for proves nothing',
  );
  watch.clear();
  t.notOk(watch.isOlder(watch.mark(), 'Job', 1, [listed('web', 1)]));
  t.end();
});

t.test('what an earlier process has seen counts, by topic', (t) => {
  const before = new RestoreWatch();
  before.show(frame(950, 'Job', 'web'));
  const watch = new RestoreWatch();
  watch.begin({ ...before.indexes, Unknown: 9_999 });

  t.ok(watch.isOlder(watch.mark(), 'Job', 900, []));
  t.strictSame(watch.indexes, { Job: 950 });
  t.end();
});

t.test('the objects that changed last are remembered, and no more than so many', (t) => {
  const watch = new RestoreWatch(2);
  for (const [position, key] of ['a', 'b', 'a', 'c'].entries()) watch.show(frame(10 + position, 'Job', key));
  const isOlder = (key: string): boolean => watch.isOlder(watch.mark(), 'Job', 100, [listed(key, 1)]);
  t.strictSame(['a', 'b', 'c'].map(isOlder), [true, false, true]);
  t.end();
});
