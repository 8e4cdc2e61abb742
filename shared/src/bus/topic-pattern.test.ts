import t from 'tap';
import { compileBindings, compileTopicPattern } from './topic-pattern.ts';

const cases: readonly { pattern: string; matches: readonly string[]; misses: readonly string[] }[] = [
  { pattern: '#', matches: ['', 'a', 'a.b.c', 'a..b'], misses: [] },
  { pattern: '', matches: [''], misses: ['a', '.'] },
  { pattern: '*', matches: ['a', '*', '#'], misses: ['', 'a.b'] },
  {
    pattern: 'crash-loop',
    matches: ['crash-loop'],
    misses: ['crash-loop-resolved', 'crash-loop.x', 'xcrash-loop', ''],
  },
  {
    pattern: 'event.#',
    matches: ['event', 'event.Node', 'event.Node.NodeDrain._._'],
    misses: ['events', 'eventx.Node', 'crash-loop', ''],
  },
  {
    pattern: 'event.Allocation.#',
    matches: ['event.Allocation', 'event.Allocation.AllocationUpdated.default.web'],
    misses: ['event', 'event.AllocationX.a'],
  },
  {
    pattern: 'event.*.*.default.*',
    matches: ['event.A.B.default.web'],
    misses: ['event.A.B.other.web', 'event.A.B.default', 'event.A.B.default.web.x'],
  },
  { pattern: '#.web', matches: ['web', 'a.web', 'event.A.B.default.web', 'web.web'], misses: ['web.a', 'aweb', ''] },
  { pattern: 'a.#.z', matches: ['a.z', 'a.b.z', 'a.b.c.z', 'a.z.z'], misses: ['a', 'z', 'a.b', 'b.z'] },
  { pattern: 'a.#.m.#.z', matches: ['a.m.z', 'a.1.m.2.3.z', 'a.m.m.z.z'], misses: ['a.z', 'a.m', 'm.z', 'a.1.z.m'] },
  { pattern: '#.#', matches: ['', 'a', 'a.b'], misses: [] },
  { pattern: '*.#', matches: ['a', 'a.b.c'], misses: [''] },
  { pattern: '#.*', matches: ['a', 'a.b.c'], misses: [''] },
  { pattern: '#.*.#.b', matches: ['a.b', 'x.y.b'], misses: ['b', 'a.b.c'] },
  { pattern: 'a..b', matches: ['a..b'], misses: ['a.b', 'a.x.b'] },
  { pattern: 'a.*.b', matches: ['a..b', 'a.x.b'], misses: ['a.b'] },
  { pattern: 'a.b*', matches: ['a.b*'], misses: ['a.bc'] },
  {
    pattern: '#.a.#.a.#.a.#',
    matches: ['a.a.a', 'x.a.y.a.z.a'],
    misses: ['a.a', Array.from({ length: 100 }, () => 'b').join('.')],
  },
];

t.test('patterns match as a topic exchange does', async (t) => {
  for (const { pattern, matches, misses } of cases) {
    const test = compileTopicPattern(pattern);
    for (const key of matches) t.equal(test(key), true, `"${pattern}" matches "${key}"`);
    for (const key of misses) t.equal(test(key), false, `"${pattern}" does not match "${key}"`);
  }
});

t.test('bindings match where any of them does', async (t) => {
  const test = compileBindings(['crash-loop', 'event.Node.#']);
  t.equal(test('crash-loop'), true);
  t.equal(test('event.Node.NodeDrain._._'), true);
  t.equal(test('event.Job.JobRegistered.default.web'), false);
  t.equal(compileBindings([])('event'), false);
});
