import t from 'tap';
import { describeFilter } from '../source/open-stream.ts';
import { mergePlans, parseFilter, planAdded, planAll } from './heal-plan.ts';

const now = { topics: ['Job', 'Node'], namespace: '*' };

t.test('what the stream shows now and did not show before is read from the lists', (t) => {
  const cases: readonly (readonly [string, Parameters<typeof planAdded>[0], Record<string, number>])[] = [
    ['a topic more', { topics: ['Job'], namespace: '*' }, { Node: 0 }],
    ['a topic less', { topics: ['Job', 'Node', 'Service'], namespace: '*' }, {}],
    ['all topics before', { topics: ['*'], namespace: '*' }, {}],
    ['one namespace before', { topics: ['Job', 'Node'], namespace: 'a' }, { Job: 0, Node: 0 }],
    ['not known', undefined, { Job: 0, Node: 0 }],
  ];
  for (const [name, before, plan] of cases) t.strictSame(Object.fromEntries(planAdded(before, now)), plan, name);
  t.strictSame(
    Object.fromEntries(planAdded({ topics: ['Job', 'Node'], namespace: '*' }, { ...now, namespace: 'a' })),
    {},
    'one namespace now',
  );
  t.end();
});

t.test('two gaps are healed as one, since the earlier', (t) => {
  t.strictSame(
    Object.fromEntries(
      mergePlans(
        planAll(now, 7),
        new Map([
          ['Job', 3],
          ['Service', 9],
        ]),
      ),
    ),
    { Job: 3, Node: 7, Service: 9 },
  );
  t.end();
});

t.test("a checkpoint's filter is read back", (t) => {
  t.strictSame(parseFilter(describeFilter({ topics: ['Node', 'Job'], namespace: 'a-b', region: '' })), {
    topics: ['Job', 'Node'],
    namespace: 'a-b',
  });
  t.equal(parseFilter(''), undefined);
  t.end();
});
