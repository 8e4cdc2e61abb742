import { runInBash } from '@hydrant/testing/bash';
import { testFolder } from '@hydrant/testing/test-folder';
import t from 'tap';
import { isShowable, makeNextStep } from './next-step.ts';

const allocation = 'b026f72d-5064-1ded-a45e-1eb7d3346510';

void t.test('the next step is one command, whatever the names hold', (t) => {
  const cases: readonly (readonly [
    namespace: string,
    allocation: string,
    task: string,
    expected: string,
    words: readonly string[],
  ])[] = [
    [
      'default',
      allocation,
      'server',
      `nomad alloc logs -stderr ${allocation} server`,
      ['alloc', 'logs', '-stderr', allocation, 'server'],
    ],
    [
      '',
      allocation,
      'server',
      `nomad alloc logs -stderr ${allocation} server`,
      ['alloc', 'logs', '-stderr', allocation, 'server'],
    ],
    [
      'payments',
      allocation,
      'server',
      `nomad alloc logs -namespace payments -stderr ${allocation} server`,
      ['alloc', 'logs', '-namespace', 'payments', '-stderr', allocation, 'server'],
    ],
    [
      'default',
      allocation,
      'a;touch PWNED',
      `nomad alloc logs -stderr ${allocation} 'a;touch PWNED'`,
      ['alloc', 'logs', '-stderr', allocation, 'a;touch PWNED'],
    ],
    [
      'default',
      allocation,
      '-help',
      `nomad alloc logs -stderr -- ${allocation} '-help'`,
      ['alloc', 'logs', '-stderr', '--', allocation, '-help'],
    ],
    [
      '-all',
      '-h',
      'x',
      "nomad alloc logs '-namespace=-all' -stderr -- '-h' x",
      ['alloc', 'logs', '-namespace=-all', '-stderr', '--', '-h', 'x'],
    ],
  ];

  for (const [namespace, allocation, task, expected] of cases)
    t.equal(makeNextStep(namespace, { allocation, task, exitCode: 1 }), expected);
  const { calls, strays } = runInBash(
    cases.map(([namespace, allocation, task]) => makeNextStep(namespace, { allocation, task, exitCode: 1 })),
    { folder: testFolder(t, {}) },
  );
  t.same(
    calls,
    cases.map(([, , , , words]) => [words]),
  );
  t.same(strays, []);
  t.end();
});

void t.test(
  'a task that never started, and a name that is too long to be shown, lead to the events of the allocation',
  (t) => {
    t.equal(
      makeNextStep('payments', { allocation, task: 'server' }),
      `nomad alloc status -namespace payments ${allocation}`,
    );
    t.equal(
      makeNextStep('default', { allocation, task: '\u202e'.repeat(200), exitCode: 1 }),
      `nomad alloc status ${allocation}`,
    );
    t.equal(makeNextStep('x'.repeat(600), { allocation, task: 'server', exitCode: 1 }), '');
    t.end();
  },
);

void t.test('a command of others is shown when nothing can happen to it on the way', (t) => {
  for (const command of [`nomad alloc status ${allocation}`, String.raw`nomad alloc logs a $'it\x27s'`])
    t.ok(isShowable(command), command);
  for (const command of ['', 'a `b`', 'a\nb', 'a\u202eb', 'a\u009bb', 'x'.repeat(501)])
    t.notOk(isShowable(command), JSON.stringify(command.slice(0, 20)));
  t.end();
});
