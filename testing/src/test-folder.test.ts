import { existsSync } from 'node:fs';
import t from 'tap';
import { testFolder } from './test-folder.ts';

const ends: boolean[] = [];

t.test('what is torn down still has the folder of its test', (t) => {
  const dir = testFolder(t, { file: 'text' });
  t.teardown(async () => {
    await Promise.resolve();
    ends.push(existsSync(`${dir}/file`));
  });
  t.end();
});

t.test('and it is gone after that', (t) => {
  t.same(ends, [true]);
  t.end();
});
