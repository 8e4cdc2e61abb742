import { appendFile, cp, mkdir, readFile, readdir, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { eventually } from '@hydrant/testing/eventually';
import { mountSmallDisk } from '@hydrant/testing/small-disk';
import { testFolder } from '@hydrant/testing/test-folder';
import { recordingLog, testLog } from '@hydrant/testing/test-log';
import t from 'tap';
import type { Test } from 'tap';
import { systemClock, type Clock, type Timer } from '../foundation/clock.ts';
import { createFolderSpool } from './folder-spool.ts';
import type { FolderSpoolOptions } from './folder-spool.ts';
import { writePositions } from './folder/cursor-file.ts';
import { encodeRecords, numberRecords } from './folder/record-codec.ts';
import { idsOf, makeMessage, makeMessages, readIds, readPositions } from './spool-contract.ts';
import type { Spool } from './spool.ts';

const never = new AbortController().signal;
const body = Buffer.alloc(1000, 'b');

async function openSpool(t: Test, dir: string, changes: Partial<FolderSpoolOptions> = {}): Promise<Spool> {
  const spool = createFolderSpool({ dir, maxBytes: 1_000_000, log: testLog(), clock: systemClock, ...changes });
  t.teardown(() => spool.close());
  await spool.open();
  return spool;
}

async function segmentNames(dir: string): Promise<string[]> {
  return (await readdir(dir)).filter((name) => name.endsWith('.log')).sort();
}

/** As the log has them on disk, numbered from their own numbers on. */
function encode(from: number, to: number): Buffer {
  const records = encodeRecords(makeMessages(from, to));
  numberRecords(records, from);
  return records.bytes;
}

t.test('records and positions outlive a close', async (t) => {
  const dir = join(testFolder(t), 'made', 'on', 'open');
  const first = await openSpool(t, dir);
  await first.append(makeMessages(1, 5));
  await first.close();

  const second = await openSpool(t, dir);

  t.equal(second.last, 5);
  t.equal(await second.append([makeMessage(6)]), 6);
  t.strictSame(await readIds(second, 6), idsOf(1, 6));
});

t.test('a cursor goes on behind what was committed', async (t) => {
  const dir = testFolder(t);
  const first = await openSpool(t, dir);
  const cursor = first.cursor('a');
  first.cursor('b');
  await first.append(makeMessages(1, 9));
  cursor.commit(4);
  await first.close();

  const second = await openSpool(t, dir);

  t.equal(second.cursor('a', { from: 'end' }).committed, 4);
  t.strictSame(await readPositions(second.cursor('a'), 5), [5, 6, 7, 8, 9]);
  t.equal(second.cursor('b', { from: 'end' }).committed, 0);
});

t.test('a cursor made at the end is on disk before the next record', async (t) => {
  const dir = testFolder(t, { log: {}, copy: {} });
  const spool = await openSpool(t, join(dir, 'log'));
  await spool.append(makeMessages(1, 3));
  spool.cursor('late', { from: 'end' });
  await spool.append(makeMessages(4, 5));
  await cp(join(dir, 'log'), join(dir, 'copy'), { recursive: true });

  const afterCrash = await openSpool(t, join(dir, 'copy'));

  t.strictSame(await readPositions(afterCrash.cursor('late', { from: 'end' }), 2), [4, 5]);
});

t.test('a folder left behind by a kill holds all that was kept', async (t) => {
  const dir = testFolder(t, { log: {}, copy: {} });
  const spool = await openSpool(t, join(dir, 'log'), { segmentBytes: 20_000 });
  spool.cursor('reader');
  let kept = 0;
  const appends = Array.from({ length: 400 }, (_, n) =>
    spool.append([makeMessage(n + 1, { body })]).then((last) => {
      kept = last;
    }),
  );
  await eventually(() => kept > 100);
  const keptBefore = kept;
  await cp(join(dir, 'log'), join(dir, 'copy'), { recursive: true });
  await Promise.all(appends);

  const afterCrash = await openSpool(t, join(dir, 'copy'));

  t.ok(afterCrash.last >= keptBefore, `${afterCrash.last} of ${keptBefore}`);
  t.strictSame(await readIds(afterCrash, afterCrash.last), idsOf(1, afterCrash.last));
});

t.test('a torn tail is cut off and the rest stays', async (t) => {
  const dir = testFolder(t, { log: {} });
  const whole = encode(1, 3);
  const twoRecords = encode(1, 2).length;
  const log = join(dir, 'log');
  const segment = join(log, '0000000000000001.log');
  await writeFile(join(log, 'spool.json'), '{"format":2}\n');
  await writeFile(join(log, 'cursors.json'), writePositions(0, []));

  for (let size = twoRecords; size < whole.length; size += 7) {
    await writeFile(segment, whole.subarray(0, size));
    const spool = await openSpool(t, log);
    if (spool.last !== 2) t.fail(`cut at ${size}: ${spool.last} records`);
    await spool.close();
    if ((await stat(segment)).size !== twoRecords) t.fail(`cut at ${size}: file not cut`);
    if (size === twoRecords) continue;
    const setAside = await readFile(join(log, 'damaged', `0000000000000001.log.${twoRecords}`));
    if (!setAside.equals(whole.subarray(twoRecords, size))) t.fail(`cut at ${size}: not set aside`);
  }

  const spool = await openSpool(t, log);
  await spool.append([makeMessage(3)]);
  t.strictSame(await readIds(spool, 3), idsOf(1, 3));
});

t.test('a tail of zeros or of noise is cut off with a warning', async (t) => {
  for (const tail of [Buffer.alloc(5000), Buffer.from('no record at all, but long enough to look like one')]) {
    const dir = testFolder(t);
    const first = await openSpool(t, dir);
    await first.append(makeMessages(1, 3));
    await first.close();
    await appendFile(join(dir, '0000000000000001.log'), tail);
    const { log, lines } = recordingLog();

    const second = await openSpool(t, dir, { log });

    t.equal(second.last, 3);
    t.match(lines, [{ level: 'warn', bytes: tail.length, kept: 3 }]);
    await second.close();
  }
});

t.test('a segment goes when the slowest cursor has passed it', async (t) => {
  const dir = testFolder(t);
  const spool = await openSpool(t, dir, { segmentBytes: 2_000 });
  const slow = spool.cursor('slow');
  const fast = spool.cursor('fast');
  for (let n = 1; n <= 10; n += 1) await spool.append([makeMessage(n, { body })]);
  const held = spool.bytes;

  fast.commit(10);
  slow.commit(3);
  await eventually(async () => (await segmentNames(dir)).length === 4);
  await eventually(() => spool.bytes < held);
  slow.commit(10);
  await eventually(async () => (await segmentNames(dir)).length === 1);
  await spool.close();

  const again = await openSpool(t, dir);
  t.equal(again.last, 10);
  t.equal(await again.append([makeMessage(11)]), 11);
  t.strictSame(await readPositions(again.cursor('slow'), 1), [11]);
});

t.test('records of many pieces and segments are read on while they are written', async (t) => {
  const spool = await openSpool(t, testFolder(t), { maxBytes: 30_000_000, segmentBytes: 3_000_000, sync: 'never' });
  const cursor = spool.cursor('a');
  const big = [10, 700_000, 1_048_576, 2_500_000, 0, 5_000_000].map((length, n) =>
    makeMessage(n + 1, { body: Buffer.alloc(length, n) }),
  );
  const appends = big.map((message) => spool.append([message]));

  const records = [];
  while (records.length < big.length) {
    const read = await cursor.read({ maxRecords: 2, maxBytes: 1_000_000 }, never);
    records.push(...read);
    cursor.commit(records.length);
  }

  await Promise.all(appends);
  t.ok(records.every(({ message }, n) => message.id === big[n]?.id && message.body.equals(big[n].body)));
});

t.test('the newest records come from memory, those before them from the disk', async (t) => {
  const dir = testFolder(t);
  const spool = await openSpool(t, dir, { maxBytes: 100_000_000 });
  const cursor = spool.cursor('a');
  const large = Buffer.alloc(100_000, 'b');
  for (let n = 1; n <= 100; n += 1) await spool.append([makeMessage(n, { body: large })]);
  const expected = Array.from({ length: 100 }, (_, n) => n + 1);

  t.strictSame(await readPositions(cursor, 100), expected, 'over the border between the two');
  cursor.rewind(35);
  t.strictSame(await readPositions(cursor, 66), expected.slice(34), 'from the middle of the file');
  const [name = ''] = await segmentNames(dir);
  await writeFile(join(dir, name), Buffer.alloc((await stat(join(dir, name))).size, 'x'));
  cursor.rewind(90);
  t.strictSame(await readPositions(cursor, 11), expected.slice(89), 'from memory');
  cursor.rewind(35);
  t.ok((await readPositions(cursor, 1))[0] ?? 0 > 50, 'nothing is left on the disk: on with what memory has');
});

t.test('a position that a cursor has passed is not given out again', async (t) => {
  const dir = testFolder(t);
  const first = await openSpool(t, dir);
  await first.append(makeMessages(1, 3));
  await first.close();
  await writeFile(join(dir, 'cursors.json'), writePositions(90, [['a', 90]]));

  const second = await openSpool(t, dir);
  t.equal(second.cursor('a').committed, 90);
  t.equal(await second.append([makeMessage(91)]), 91);
  t.strictSame(await readPositions(second.cursor('a'), 1), [91]);
});

/** Of the system, and tells how many of its timers wait. */
function countingClock(): { readonly clock: Clock; readonly waiting: () => number } {
  const timers = new Set<Timer>();
  const after: Clock['after'] = (ms, action) => {
    const timer = systemClock.after(ms, () => {
      timers.delete(handle);
      action();
    });
    const handle: Timer = {
      cancel() {
        timers.delete(handle);
        timer.cancel();
      },
    };
    timers.add(handle);
    return handle;
  };
  return { clock: { ...systemClock, after }, waiting: () => timers.size };
}

t.test('a log whose folder is gone can be closed, and nothing is tried again', async (t) => {
  const dir = testFolder(t, {
    'spool.json': '{"format":2}\n',
    'cursors.json': writePositions(90, [['a', 90]]),
    '0000000000000001.log': encode(1, 3),
  });
  const { clock, waiting } = countingClock();
  const spool = createFolderSpool({ dir, maxBytes: 1_000_000, log: testLog(), clock });
  await spool.open();
  await spool.append([makeMessage(91)]);
  await rm(dir, { recursive: true });

  spool.cursor('a').commit(91);
  await spool.close();

  t.equal(waiting(), 0);
});

t.test('a folder of another format is refused', async (t) => {
  const cases = [
    {
      files: { 'spool.json': '{"format":3}\n' },
      expected: { code: 'spool-format', message: /to say format 2, got 3/ },
    },
    {
      files: { '0000000000000001.log': '' },
      expected: { code: 'spool-unlabelled', message: /spool\.json.*write this line into it: \{"format":2\}/ },
    },
    {
      files: { '0000000000000001.log': '', 'spool.json': '' },
      expected: { code: 'spool-unlabelled', message: /missing or damaged/ },
    },
  ];
  for (const { files, expected } of cases) {
    const dir = testFolder(t, files);
    await t.rejects(openSpool(t, dir), { retryable: false, ...expected });
    t.same(
      (await readdir(dir)).filter((name) => name !== 'lock').sort(),
      Object.keys(files).sort(),
      'nothing was changed',
    );
  }
});

t.test('a folder of another owner is refused', async (t) => {
  const dir = testFolder(t);
  const owned = await openSpool(t, dir, { owner: 'of A' });
  await owned.close();

  for (const owner of [undefined, 'of B'])
    await t.rejects(openSpool(t, dir, { ...(owner === undefined ? {} : { owner }) }), {
      code: 'spool-foreign',
      retryable: false,
      message: /spool\.json.*it says of A/u,
    });
  await t.resolves(openSpool(t, dir, { owner: 'of A' }));
});

t.test('a folder that cannot be made is named, with the reason', async (t) => {
  const dir = join(testFolder(t, { file: '' }), 'file', 'spool');
  await t.rejects(openSpool(t, dir), {
    code: 'spool-unavailable',
    message: new RegExp(`${dir}; make sure`, 'u'),
    cause: { code: 'ENOTDIR' },
  });
});

t.test('a folder has one user', async (t) => {
  const dir = testFolder(t);
  const first = await openSpool(t, dir);
  await t.rejects(openSpool(t, dir), { code: 'spool-locked', message: new RegExp(`process ${process.pid} `) });
  await first.close();

  for (const left of [`${process.ppid}\n`, `${process.pid}\n`, '', undefined]) {
    await (left === undefined ? rm(join(dir, 'lock'), { force: true }) : writeFile(join(dir, 'lock'), left));
    const spool = await openSpool(t, dir);
    await rm(join(dir, 'lock'), { force: true });
    await t.rejects(openSpool(t, dir), { code: 'spool-locked' }, 'whatever the file of the lock says, and without it');
    await spool.close();
  }
});

t.test(
  'a full disk rejects the append and leaves a clean tail',
  { skip: process.platform !== 'linux' && '/dev/full is of Linux' },
  async (t) => {
    const dir = testFolder(t);
    const spool = await openSpool(t, dir, { segmentBytes: 1_000 });
    await spool.append([makeMessage(1, { body })]);
    await symlink('/dev/full', join(dir, '0000000000000002.log'));
    const held = spool.bytes;

    const rejected = {
      code: 'spool-unavailable',
      retryable: true,
      message: new RegExp(`${dir}.*disk has space`),
      cause: { code: 'ENOSPC' },
    };
    await t.rejects(spool.append([makeMessage(2)]), rejected);
    await t.rejects(spool.append([makeMessage(2)]), { code: 'spool-unavailable' });
    t.equal(spool.bytes, held);
    t.equal(spool.last, 1);
    await spool.close();

    await rm(join(dir, '0000000000000002.log'));
    const again = await openSpool(t, dir);
    t.equal(await again.append([makeMessage(2)]), 2);
    t.strictSame(await readIds(again, 2), idsOf(1, 2));
  },
);

t.test('a failed append gives back all that is done with, the newest segment, too', async (t) => {
  const dir = testFolder(t);
  const spool = await openSpool(t, dir);
  spool.cursor('reader');
  await spool.append(makeMessages(1, 3));
  spool.cursor('reader').commit(3);
  await mkdir(join(dir, 'cursors.json.new'));
  spool.cursor('new', { from: 'end' });

  await t.rejects(spool.append([makeMessage(4)]), { code: 'spool-unavailable' });

  await eventually(() => spool.bytes === 0);
  t.strictSame(await segmentNames(dir), ['0000000000000004.log']);
  await rm(join(dir, 'cursors.json.new'), { recursive: true });
  t.equal(await spool.append([makeMessage(4)]), 4);
});

t.test(
  'on a disk with less room than a segment, what is done with makes room, also after a restart',
  { skip: (process.platform !== 'linux' || process.getuid?.() !== 0) && 'only root on Linux can mount a small disk' },
  async (t) => {
    const disk = await mountSmallDisk(2);
    if (disk === undefined) {
      t.pass('this container may not mount a disk');
      return;
    }
    t.teardown(() => disk.close());
    const dir = join(disk.folder, 'log');
    const options = { maxBytes: 100_000_000 };
    const large = Buffer.alloc(100_000, 'b');
    let n = 0;
    const appendUntilFull = async (spool: Spool): Promise<void> => {
      await t.rejects(
        (async () => {
          for (;;) {
            await spool.append([makeMessage(n + 1, { body: large })]);
            n += 1;
          }
        })(),
        { code: 'spool-unavailable', cause: { code: 'ENOSPC' } },
      );
    };
    const first = await openSpool(t, dir, options);
    first.cursor('reader');
    await appendUntilFull(first);
    first.cursor('reader').commit(n);
    await eventually(() => first.append([makeMessage(n + 1, { body: large })]));
    n += 1;
    await appendUntilFull(first);
    await first.close();

    const second = await openSpool(t, dir, options);
    t.equal(second.last, n);
    second.cursor('reader').commit(n);
    await eventually(() => second.append([makeMessage(n + 1, { body: large })]));
    await second.close();
  },
);

t.test('cursors that cannot be saved are retried with one warning', async (t) => {
  const dir = testFolder(t);
  const { log, lines } = recordingLog();
  const spool = await openSpool(t, dir, { log });
  const cursor = spool.cursor('a');
  await spool.append(makeMessages(1, 3));
  await mkdir(join(dir, 'cursors.json.new'));

  cursor.commit(2);
  await eventually(() => lines.length === 1);
  await rm(join(dir, 'cursors.json.new'), { recursive: true });

  await eventually(async () => (await readFile(join(dir, 'cursors.json'), 'utf8')) === writePositions(3, [['a', 2]]));
  t.match(lines, [{ level: 'warn' }]);
});
