import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { runInBash } from '@hydrant/testing/bash';
import { fuzz } from '@hydrant/testing/fuzz';
import { asArgument, makeHostileWord } from '@hydrant/testing/hostile-words';
import { testFolder } from '@hydrant/testing/test-folder';
import t from 'tap';
import { isShowable, makeNextStep } from './next-step.ts';

const commandsAtOnce = 100;
const options = new Set(['-namespace', '-stderr', '--']);

/** What Nomad takes for names: everything but the command and its options. */
function namesOf(words: readonly string[] | undefined): readonly string[] {
  const [first, verb, ...rest] = words ?? [];
  if (first !== 'alloc' || (verb !== 'logs' && verb !== 'status')) return [];
  const end = rest.indexOf('--');
  const names: string[] = [];
  for (const [at, word] of rest.entries()) {
    const isValue = rest[at - 1] === '-namespace';
    if (isValue || (end !== -1 && at > end) || !options.has(word))
      names.push(word.startsWith('-namespace=') && (end === -1 || at < end) ? word.slice('-namespace='.length) : word);
  }
  return names;
}

void t.test('bash takes every name for exactly that name and runs nothing else', async (t) => {
  const parent = testFolder(t, {});
  await fuzz(t, (random) => {
    const cases = Array.from({ length: commandsAtOnce }, () => ({
      namespace: makeHostileWord(random),
      allocation: `a${makeHostileWord(random)}`,
      task: makeHostileWord(random),
    }));
    const shown = cases
      .map((each) => ({ ...each, command: makeNextStep(each.namespace, { ...each, exitCode: 1 }) }))
      .filter(({ command }) => command !== '');
    for (const { command } of shown)
      if (!isShowable(command) || command.replaceAll('`', "'") !== command)
        throw new Error(`Expected a command that a chat cannot change, got ${JSON.stringify(command)}`);

    const folder = mkdtempSync(join(parent, 'bash-'));
    const { calls, strays } = runInBash(
      shown.map(({ command }) => command),
      { folder, isInteractive: random.oneIn(2), locale: random.pick(['C', 'C.UTF-8']) },
    );

    if (strays.length > 0) throw new Error(`Expected nothing but nomad to run, got ${JSON.stringify(strays)}`);
    for (const [at, { namespace, allocation, task, command }] of shown.entries()) {
      const given = namespace === '' || namespace === 'default' ? [] : [namespace];
      const expected = [...given, allocation, ...(command.startsWith('nomad alloc logs') ? [task] : [])].map(
        asArgument,
      );
      const got = namesOf(calls[at]?.[0]);
      if (
        calls[at]?.length !== 1 ||
        got.length !== expected.length ||
        got.some((word, place) => word !== expected[place])
      ) {
        throw new Error(
          `Expected ${JSON.stringify(command)} to name ${JSON.stringify(expected)}, bash took ${JSON.stringify(calls[at])}`,
        );
      }
    }
  });
});
