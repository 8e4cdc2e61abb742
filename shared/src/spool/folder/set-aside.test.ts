import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { testFolder } from '@hydrant/testing/test-folder';
import { recordingLog } from '@hydrant/testing/test-log';
import t from 'tap';
import { chooseRemovals, createSetAside, type SetAsideFile } from './set-aside.ts';

t.test('the oldest files go until the rest fits, the newest never', (t) => {
  const file = (name: string, bytes: number, atMs: number): SetAsideFile => ({ name, bytes, atMs });
  const cases: readonly (readonly [
    what: string,
    files: readonly SetAsideFile[],
    newest: string,
    removals: readonly string[],
  ])[] = [
    ['nothing', [], 'a', []],
    ['just fits', [file('a', 60, 1), file('b', 40, 2)], 'b', []],
    ['one too many', [file('a', 60, 1), file('b', 41, 2)], 'b', ['a']],
    ['by age, not by name', [file('a', 50, 3), file('b', 50, 1), file('c', 50, 2)], 'a', ['b']],
    ['several', [file('a', 10, 1), file('b', 10, 2), file('c', 10, 3), file('d', 85, 4)], 'd', ['a', 'b']],
    ['the newest alone is too large', [file('a', 10, 1), file('b', 101, 2)], 'b', ['a']],
    ['at the same moment', [file('a', 60, 1), file('b', 60, 1)], 'a', ['b']],
  ];
  for (const [what, files, newest, removals] of cases) t.strictSame(chooseRemovals(files, newest, 100), removals, what);
  t.end();
});

t.test('what is set aside takes a tenth of the log, copies and moved files together', async (t) => {
  const dir = testFolder(t);
  const { log, lines } = recordingLog();
  const setAside = createSetAside({ dir, maxBytes: 1_000, log });
  for (const name of ['1.log', '2.log']) await writeFile(join(dir, name), Buffer.alloc(60));

  await setAside.copy(join(dir, '1.log'), 20, 40);
  await setAside.move('2.log');
  t.strictSame(await readdir(join(dir, 'damaged')), ['1.log.20', '2.log']);
  t.strictSame(lines, []);
  await setAside.move('1.log');

  t.strictSame(await readdir(join(dir, 'damaged')), ['1.log']);
  t.match(lines, [{ level: 'warn', dir: join(dir, 'damaged'), maxBytes: 100 }]);
  t.strictSame(new Set(lines[0]?.['files'] as readonly string[]), new Set(['1.log.20', '2.log']));
});

t.test('a copy that fails leaves nothing behind', async (t) => {
  const dir = testFolder(t, { folder: {} });
  const { log } = recordingLog();

  await t.rejects(createSetAside({ dir, maxBytes: 1_000, log }).copy(join(dir, 'folder'), 0, 40), { code: 'EISDIR' });

  t.strictSame(await readdir(join(dir, 'damaged')), []);
});
