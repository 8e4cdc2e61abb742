import { appendFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { testFolder } from '@hydrant/testing/test-folder';
import { testLog } from '@hydrant/testing/test-log';
import t from 'tap';
import { systemClock } from '../../foundation/clock.ts';
import { createFolderSpool } from '../folder-spool.ts';
import { makeMessage } from '../spool-contract.ts';
import { lookAtCursors } from './look-at-cursors.ts';

t.test('a look beside the open log says what each cursor leaves unread', async (t) => {
  const dir = testFolder(t);
  const spool = createFolderSpool({
    dir,
    maxBytes: 1_000_000,
    segmentBytes: 2_000,
    log: testLog(),
    clock: systemClock,
  });
  t.teardown(() => spool.close());
  await spool.open();
  for (const name of ['behind', 'done']) spool.cursor(name);
  for (let n = 1; n <= 9; n += 1) await spool.append([makeMessage(n, { body: Buffer.alloc(1000) })]);
  spool.cursor('behind').commit(4);
  spool.cursor('done').commit(9);
  await spool.removeCursor('which is not there, but saves the others');
  spool.cursor('newest', { from: 'end' });
  await spool.append([makeMessage(10, { body: Buffer.alloc(1000) })]);
  // As when the process is just writing.
  await appendFile(join(dir, '0000000000000009.log'), Buffer.from([0, 1, 2]));

  const states = await lookAtCursors(dir);

  t.match(
    states.map(({ name, records }) => [name, records]),
    [
      ['behind', 6],
      ['done', 1],
      ['newest', 1],
    ],
  );
  const [behind, done] = states;
  t.ok((done?.bytes ?? 0) > 1_000);
  t.equal(Math.round((behind?.bytes ?? 0) / (done?.bytes ?? 1)), 6);
});

t.test('a look at a folder with a renamed segment reads it under the name that it has', async (t) => {
  const dir = testFolder(t);
  const spool = createFolderSpool({
    dir,
    maxBytes: 1_000_000,
    segmentBytes: 2_000,
    log: testLog(),
    clock: systemClock,
  });
  await spool.open();
  spool.cursor('reader');
  for (let n = 1; n <= 4; n += 1) await spool.append([makeMessage(n, { body: Buffer.alloc(1000) })]);
  await spool.close();
  await rename(join(dir, '0000000000000003.log'), join(dir, '0000000000000777.log'));

  t.match(await lookAtCursors(dir), [{ name: 'reader', records: 4 }]);
});

t.test('where there is no log there are no cursors', async (t) => {
  t.same(await lookAtCursors(join(testFolder(t), 'nowhere')), []);
});

t.test('a file of cursors that is none is an error', async (t) => {
  const dir = testFolder(t);
  await writeFile(join(dir, 'cursors.json'), '[');
  await t.rejects(lookAtCursors(dir), { code: 'spool-corrupt' });
});
