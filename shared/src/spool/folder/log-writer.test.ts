import { EventEmitter, once } from 'node:events';
import { open, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { eventually } from '@hydrant/testing/eventually';
import { testFolder } from '@hydrant/testing/test-folder';
import { testLog } from '@hydrant/testing/test-log';
import t from 'tap';
import { systemClock } from '../../foundation/clock.ts';
import { createFolderSpool } from '../folder-spool.ts';
import { makeMessage } from '../spool-contract.ts';

/** Of every open file. */
async function fileMethods(dir: string): Promise<FileHandle> {
  const handle = await open(join(dir, 'any'), 'w');
  await handle.close();
  return Object.getPrototypeOf(handle) as FileHandle;
}

t.test('an append is answered when its records are on the disk, and not before', async (t) => {
  const dir = testFolder(t, { log: {} });
  const spool = createFolderSpool({ dir: join(dir, 'log'), maxBytes: 1_000_000, log: testLog(), clock: systemClock });
  await spool.open();
  t.teardown(() => spool.close());
  const disk = new EventEmitter();
  const syncs = t.capture(await fileMethods(dir), 'datasync', () => once(disk, 'synced'));
  let isAnswered = false;

  const append = spool.append([makeMessage(1)]).then(() => {
    isAnswered = true;
  });
  await eventually(() => isAnswered || syncs().length > 0);

  t.notOk(isAnswered, 'while the disk is at work');
  disk.emit('synced');
  await append;
  t.equal(spool.last, 1);
});
