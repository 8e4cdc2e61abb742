import { makePrivateFolder, removePrivateFolder } from '@hydrant/testing/private-folder';
import t from 'tap';
import { createFileSpoolNote } from './file-spool-note.ts';

t.test('a note is kept over restarts, and one that cannot be written says what to do', async (t) => {
  const folder = await makePrivateFolder('spool-note');
  t.teardown(() => removePrivateFolder(folder));
  const path = `${folder}/firehose.json`;
  t.equal(await createFileSpoolNote({ path }).load(), undefined);

  await createFileSpoolNote({ path }).save({ filter: 'topics=Job', isWhole: false, epoch: 1 });

  t.strictSame(await createFileSpoolNote({ path }).load(), { filter: 'topics=Job', isWhole: false, epoch: 1 });
  const gone = createFileSpoolNote({ path: `${folder}/gone/firehose.json` });
  await t.rejects(gone.save({ filter: '', isWhole: true, epoch: 0 }), {
    code: 'spool-unavailable',
    retryable: true,
    message: /write .*gone\/firehose\.json; make sure that the disk has space/u,
    cause: { code: 'ENOENT' },
  });
});
