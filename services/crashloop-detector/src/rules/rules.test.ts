import { join } from 'node:path';
import t, { type Test } from 'tap';
import { errorCode, toError } from '@hydrant/shared/foundation/errors';
import { testFolder } from '@hydrant/testing/test-folder';
import { compileGlob } from './glob.ts';
import { chooseRule, type Rules } from './choose-rule.ts';
import { readRulesFile } from './rules-file.ts';

const rule = { count: 5, intervalMs: 600_000, notificationIntervalMs: 600_000 };
const place = { namespace: 'default', job: 'checkout-api', group: 'api', task: 'server' };

function read(t: Test, content: string, name = 'rules.toml'): Rules {
  return { rule, overrides: readRulesFile(join(testFolder(t, { [name]: content }), name), rule) };
}

function problemsOf(t: Test, content: string, name = 'rules.toml'): readonly string[] {
  try {
    read(t, content, name);
    return [];
  } catch (error) {
    t.equal(errorCode(error), 'config-invalid');
    return toError(error).message.replaceAll(t.testdirName, 'here').split('\n');
  }
}

t.test('a glob matches whole names', async (t) => {
  const cases: [pattern: string, name: string, matches: boolean][] = [
    ['api', 'api', true],
    ['api', 'API', false],
    ['api', 'api2', false],
    ['', '', true],
    ['*', '', true],
    ['*', 'batch/dispatch-1', true],
    ['batch*', 'batch/periodic-17', true],
    ['*api', 'checkout-api', true],
    ['*api', 'checkout-api-2', false],
    ['c*-*i', 'checkout-api', true],
    ['c*z*i', 'checkout-api', false],
    ['a?c', 'abc', true],
    ['a?c', 'ac', false],
    ['?', '😀', true],
    ['a.c', 'abc', false],
    ['[ab]', 'a', false],
    ['[ab]', '[ab]', true],
    ['a**b', 'ab', true],
    ['*a*b', 'xaxbxb', true],
  ];

  for (const [pattern, name, matches] of cases) t.equal(compileGlob(pattern)(name), matches, `${pattern} ${name}`);
});

t.test('a glob with many stars stays quick on a long name', async (t) => {
  const began = performance.now();

  t.equal(compileGlob(`${'*a'.repeat(200)}b`)('a'.repeat(10_000)), false);

  t.ok(performance.now() - began < 2000, 'a pattern with backtracking would take ages');
});

t.test('the first rule that matches decides, and says only what differs', async (t) => {
  const rules = read(
    t,
    `
    [[rule]]
    job = "checkout-*"
    task = "server"
    restart_count = 3
    [[rule]]
    namespace = ["staging-*", "dev"]
    mute = true
    [[rule]]
    group = "api"
    restart_interval = "1h"
    notification_interval = "0s"
    [[rule]]
    mute = true
  `,
  );
  const cases: [name: string, place: Partial<typeof place>, position: number, chosen: object][] = [
    ['a job and a task', {}, 1, { rule: { ...rule, count: 3 }, isMuted: false }],
    ['a namespace, of several', { task: 'proxy', namespace: 'dev' }, 2, { isMuted: true }],
    ['a namespace by its beginning', { task: 'proxy', namespace: 'staging-7' }, 2, { isMuted: true }],
    ['both, then the first', { namespace: 'dev' }, 1, { isMuted: false }],
    [
      'a group',
      { task: 'proxy' },
      3,
      { rule: { count: 5, intervalMs: 3_600_000, notificationIntervalMs: 0 }, isMuted: false },
    ],
    ['the rest', { task: 'proxy', group: 'x' }, 4, { isMuted: true }],
  ];

  for (const [name, changes, position, chosen] of cases)
    t.match(chooseRule(rules, { ...place, ...changes }), { position, ...chosen }, name);
  t.same(chooseRule({ rule, overrides: [] }, place), { rule, isMuted: false, position: null });
});

t.test('a file may hold no rule, or be JSON', async (t) => {
  t.same(read(t, '# nothing\n').overrides, []);
  t.equal(
    chooseRule(read(t, '{"rule":[{"job":"a*","MUTE":true}]}', 'rules.json'), { ...place, job: 'ab' }).isMuted,
    true,
  );
});

t.test('every problem of the file is named at once, with the number of its rule', async (t) => {
  const content = `
    rules = 1
    [[rule]]
    job = ""
    restart_count = 0
    restart_interval = "0s"
    [[rule]]
    namspace = "a"
    mute = "perhaps"
    notification_interval = 10
    [[rule]]
    task = "a"
    mute = true
    restart_count = 2
    [[rule]]
    mute = true
    [[rule]]
    job = 7
  `;

  t.same(problemsOf(t, content), [
    'Expected only [[rule]] in here/rules.toml, got `rules`; did you mean `rule`?',
    'Expected `JOB` to be a name or a list of names, in which `*` and `?` may stand for letters, got "" (rule 1 of here/rules.toml)',
    'Expected `RESTART_COUNT` to be a whole number of at least 1, got 0 (rule 1 of here/rules.toml)',
    'Expected `RESTART_INTERVAL` to be a duration such as "25s", "5m" or "1h30m", above zero, got "0s" (rule 1 of here/rules.toml)',
    'Expected only known settings in rule 2 of here/rules.toml, got `namspace`; did you mean `NAMESPACE`?',
    'Expected `MUTE` to be "true" or "false", got "perhaps" (rule 2 of here/rules.toml)',
    'Expected `NOTIFICATION_INTERVAL` to be a duration such as "25s", "5m" or "1h30m", got 10 (rule 2 of here/rules.toml)',
    'Expected `MUTE` alone or thresholds, got both: a muted task is never announced (rule 3 of here/rules.toml)',
    'Expected `JOB` to be a name or a list of names, in which `*` and `?` may stand for letters, got 7 (rule 5 of here/rules.toml)',
    'Expected rule 4 of here/rules.toml, which names no NAMESPACE, JOB, GROUP or TASK, to be the last: no rule after it would be reached',
  ]);
});

t.test('a file that cannot be read as rules says where it fails', async (t) => {
  t.match(problemsOf(t, '[[rule]]\njob = "a\n'), [
    /^Expected `DETECTOR_RULES_FILE` to hold TOML, got "here\/rules.toml" that cannot be read as such \(line 2, column \d+\)$/u,
  ]);
  t.match(problemsOf(t, '[rule]\njob = "a"\n'), [
    'Expected `rule` in here/rules.toml to be a list of tables, each under [[rule]], got a table',
  ]);
  t.match(problemsOf(t, 'rule = [1, 2]'), [
    'Expected rule 1 of here/rules.toml to be a table, got 1',
    'Expected rule 2 of here/rules.toml to be a table, got 2',
  ]);
  t.throws(() => readRulesFile('none.toml', rule), {
    code: 'config-invalid',
    message: /^Expected `DETECTOR_RULES_FILE` to name a TOML or JSON file that can be read, got "none.toml": ENOENT/u,
  });
});
