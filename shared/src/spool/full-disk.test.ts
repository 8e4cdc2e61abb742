import { appendFile, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { eventually } from '@hydrant/testing/eventually';
import { mountSmallDisk, type SmallDisk } from '@hydrant/testing/small-disk';
import { recordingLog, testLog } from '@hydrant/testing/test-log';
import t from 'tap';
import type { Test } from 'tap';
import { systemClock } from '../foundation/clock.ts';
import { createFolderSpool, type FolderSpoolOptions } from './folder-spool.ts';
import { encodeRecords, numberRecords } from './folder/record-codec.ts';
import { makeMessage, readPositions } from './spool-contract.ts';
import type { Spool } from './spool.ts';

const body = Buffer.alloc(1000, 'b');
const skip = (process.platform !== 'linux' || process.getuid?.() !== 0) && 'only root on Linux can mount a small disk';

async function openSpool(t: Test, dir: string, changes: Partial<FolderSpoolOptions> = {}): Promise<Spool> {
  const spool = createFolderSpool({
    dir,
    maxBytes: 100_000_000,
    sync: 'never',
    log: testLog(),
    clock: systemClock,
    ...changes,
  });
  t.teardown(() => spool.close());
  await spool.open();
  return spool;
}

/** Undefined where there can be none, which is said. */
async function mountDisk(t: Test): Promise<SmallDisk | undefined> {
  const disk = await mountSmallDisk(1);
  if (disk === undefined) t.pass('this container may not mount a disk');
  else t.teardown(() => disk.close());
  return disk;
}

/** Appends records until the disk is full; gives the position of the last one. */
async function appendUntilFull(t: Test, spool: Spool): Promise<number> {
  await t.rejects(
    (async () => {
      for (;;) await spool.append([makeMessage(spool.last + 1, { body })]);
    })(),
    { code: 'spool-unavailable', cause: { code: 'ENOSPC' } },
  );
  return spool.last;
}

t.test('with small records, too, what is done with makes room on a full disk', { skip }, async (t) => {
  const disk = await mountDisk(t);
  if (disk === undefined) return;
  const spool = await openSpool(t, join(disk.folder, 'log'));
  const cursor = spool.cursor('reader');
  for (let round = 1; round <= 3; round += 1) {
    const last = await appendUntilFull(t, spool);
    t.ok(last > cursor.committed + 500);
    cursor.commit(last);
    await eventually(() => spool.append([makeMessage(last + 1, { body })]));
  }
});

t.test(
  'a log opens on a disk without a free block, is read, and takes records when that is done',
  { skip },
  async (t) => {
    const disk = await mountDisk(t);
    if (disk === undefined) return;
    const dir = join(disk.folder, 'log');
    const first = await openSpool(t, dir);
    first.cursor('reader');
    const last = await appendUntilFull(t, first);
    await first.close();
    disk.fill();

    const second = await openSpool(t, dir);
    t.equal(second.last, last);
    const cursor = second.cursor('reader');
    await t.rejects(second.append([makeMessage(last + 1, { body })]), { code: 'spool-unavailable' });
    t.strictSame((await readPositions(cursor, last)).at(-1), last);
    cursor.commit(last);

    await eventually(() => second.append([makeMessage(last + 1, { body })]));
    t.equal(second.last, last + 1);
  },
);

t.test('on a full disk an unfinished record is cut off and is no loss, other tails stay', { skip }, async (t) => {
  const disk = await mountDisk(t);
  if (disk === undefined) return;
  const next = encodeRecords([makeMessage(4, { body })]);
  numberRecords(next, 4);
  for (const [what, tail, isCut] of [
    ['half a record', next.bytes.subarray(0, 500), true],
    ['part of a head', next.bytes.subarray(0, 10), true],
    ['no record', Buffer.alloc(500, 'x'), false],
  ] as const) {
    const dir = join(disk.folder, what);
    const first = await openSpool(t, dir);
    first.cursor('reader');
    await first.append([makeMessage(1, { body }), makeMessage(2, { body }), makeMessage(3, { body })]);
    await first.close();
    const path = join(dir, '0000000000000001.log');
    const { size } = await stat(path);
    await appendFile(path, tail);
    disk.fill();
    const { log, lines } = recordingLog();

    const second = await openSpool(t, dir, { log });
    disk.free();
    const position = await second.append([makeMessage(4, { body })]);
    t.same((await readPositions(second.cursor('reader'), 4)).at(-1), position, what);
    await second.close();

    t.equal((await stat(path)).size > size + tail.length, isCut, what);
    t.equal(position, isCut ? 4 : 5, what);
    t.equal(
      lines.some(({ level }) => level === 'error'),
      !isCut,
      what,
    );
    t.equal((await readdir(dir)).includes('damaged'), true, what);
  }
});
