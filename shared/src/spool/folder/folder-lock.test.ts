import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { eventually } from '@hydrant/testing/eventually';
import { testFolder } from '@hydrant/testing/test-folder';
import t from 'tap';
import { lockFolder } from './folder-lock.ts';

/** Says "held" or an error's code, and then waits to be killed. */
function startContestant(dir: string): { readonly said: () => string; kill(): Promise<unknown> } {
  const module = fileURLToPath(new URL('folder-lock.ts', import.meta.url));
  const script = `import { lockFolder } from ${JSON.stringify(module)};
    lockFolder(${JSON.stringify(dir)}).then(() => 'held', (error) => error.code).then((word) => { console.log(word); setInterval(() => undefined, 60_000); });`;
  const child = spawn(
    process.execPath,
    ['--conditions=hydrant-source', '--import=@tapjs/typescript/import', '--input-type=module', '--eval', script],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  let said = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  const ended = once(child, 'close');
  return {
    said: () => said.trim(),
    kill: () => {
      child.kill('SIGKILL');
      return ended;
    },
  };
}

t.test('of many who lock at the same moment one gets the folder', async (t) => {
  const dir = testFolder(t);
  for (let round = 1; round <= 10; round += 1) {
    const outcomes = await Promise.allSettled(Array.from({ length: 8 }, () => lockFolder(dir)));
    const locks = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
    t.equal(locks.length, 1);
    t.ok(
      outcomes.every(
        (outcome) =>
          outcome.status === 'fulfilled' || (outcome.reason as { readonly code?: unknown }).code === 'spool-locked',
      ),
    );
    for (const lock of locks) await lock.release();
  }
});

t.test(
  'of processes that start at the same moment one gets the folder, and the kernel gives it back when that is killed',
  { timeout: 100_000 },
  async (t) => {
    const dir = testFolder(t);

    const all = [startContestant(dir), startContestant(dir), startContestant(dir)];
    await eventually(() => all.every(({ said }) => said() !== ''), { timeoutMs: 60_000 });

    t.same(all.map(({ said }) => said()).sort(), ['held', 'spool-locked', 'spool-locked']);
    await Promise.all(all.map((one) => one.kill()));
    await (await lockFolder(dir)).release();
  },
);
