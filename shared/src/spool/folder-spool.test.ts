import { spawnSync } from 'node:child_process';
import { appendFile, cp, mkdir, readFile, readdir, rm, stat, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { eventually } from '@hydrant/testing/eventually';
import { recordingLog, testLog } from '@hydrant/testing/test-log';
import t from 'tap';
import type { Test } from 'tap';
import { systemClock } from '../foundation/clock.ts';
import { createFolderSpool } from './folder-spool.ts';
import type { FolderSpoolOptions } from './folder-spool.ts';
import { encodeRecords } from './folder/record-codec.ts';
import { makeMessage, makeMessages, readPositions } from './spool-contract.ts';
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

async function readIds(spool: Spool, count: number): Promise<string[]> {
  const cursor = spool.cursor('reader');
  const found: string[] = [];
  while (found.length < count) for (const { message } of await cursor.read({ maxRecords: 1000, maxBytes: 10_000_000 }, never)) found.push(message.id);
  return found;
}

function idsOf(from: number, to: number): string[] {
  return makeMessages(from, to).map(({ id }) => id);
}

/** Closed, with five segments of two records. */
async function fillSegments(t: Test, dir: string): Promise<string[]> {
  const spool = await openSpool(t, dir, { segmentBytes: 2_000 });
  for (let n = 1; n <= 10; n += 1) await spool.append([makeMessage(n, { body })]);
  await spool.close();
  return segmentNames(dir);
}

t.test('records and positions outlive a close', async (t) => {
  const dir = join(t.testdir(), 'made', 'on', 'open');
  const first = await openSpool(t, dir);
  await first.append(makeMessages(1, 5));
  await first.close();

  const second = await openSpool(t, dir);

  t.equal(second.last, 5);
  t.equal(await second.append([makeMessage(6)]), 6);
  t.strictSame(await readIds(second, 6), idsOf(1, 6));
});

t.test('a cursor goes on behind what was committed', async (t) => {
  const dir = t.testdir();
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
  const dir = t.testdir({ log: {}, copy: {} });
  const spool = await openSpool(t, join(dir, 'log'));
  await spool.append(makeMessages(1, 3));
  spool.cursor('late', { from: 'end' });
  await spool.append(makeMessages(4, 5));
  await cp(join(dir, 'log'), join(dir, 'copy'), { recursive: true });

  const afterCrash = await openSpool(t, join(dir, 'copy'));

  t.strictSame(await readPositions(afterCrash.cursor('late', { from: 'end' }), 2), [4, 5]);
});

t.test('a folder left behind by a kill holds all that was kept', async (t) => {
  const dir = t.testdir({ log: {}, copy: {} });
  const spool = await openSpool(t, join(dir, 'log'), { segmentBytes: 20_000 });
  spool.cursor('reader');
  let kept = 0;
  const appends = Array.from({ length: 400 }, (_, n) => spool.append([makeMessage(n + 1, { body })]).then((last) => { kept = last; }));
  await eventually(() => kept > 100);
  const keptBefore = kept;
  await cp(join(dir, 'log'), join(dir, 'copy'), { recursive: true });
  await Promise.all(appends);

  const afterCrash = await openSpool(t, join(dir, 'copy'));

  t.ok(afterCrash.last >= keptBefore, `${afterCrash.last} of ${keptBefore}`);
  t.strictSame(await readIds(afterCrash, afterCrash.last), idsOf(1, afterCrash.last));
});

t.test('a tail torn at any byte is cut off and the rest stays', async (t) => {
  const dir = t.testdir({ log: {} });
  const whole = encodeRecords(makeMessages(1, 3));
  const twoRecords = encodeRecords(makeMessages(1, 2)).length;
  const log = join(dir, 'log');
  const segment = join(log, '0000000000000001.log');
  await writeFile(join(log, 'spool.json'), '{"format":1}\n');

  for (let size = twoRecords; size < whole.length; size += 1) {
    await writeFile(segment, whole.subarray(0, size));
    const spool = await openSpool(t, log);
    if (spool.last !== 2) t.fail(`cut at ${size}: ${spool.last} records`);
    await spool.close();
    if ((await stat(segment)).size !== twoRecords) t.fail(`cut at ${size}: file not cut`);
  }

  const spool = await openSpool(t, log);
  await spool.append([makeMessage(3)]);
  t.strictSame(await readIds(spool, 3), idsOf(1, 3));
});

t.test('a tail of zeros or of noise is cut off with a warning', async (t) => {
  for (const tail of [Buffer.alloc(5000), Buffer.from('no record at all, but long enough to look like one')]) {
    const dir = t.testdir();
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

t.test('a damaged record before intact ones stops the start and changes nothing', async (t) => {
  const dir = t.testdir();
  const first = await openSpool(t, dir);
  await first.append(makeMessages(1, 3));
  await first.close();
  const path = join(dir, '0000000000000001.log');
  const bytes = await readFile(path);
  const offset = encodeRecords(makeMessages(1, 1)).length;
  bytes[offset + 50] = (bytes[offset + 50] ?? 0) ^ 1;
  await writeFile(path, bytes);

  await t.rejects(openSpool(t, dir), { code: 'spool-corrupt', retryable: false, message: new RegExp(`byte ${offset} of .*0000000000000001\\.log.*move it out of the folder`, 's') });
  t.strictSame(await readFile(path), bytes);
});

t.test('a damaged record in an older segment stops the reader there', async (t) => {
  const dir = t.testdir();
  const names = await fillSegments(t, dir);
  t.equal(names.length, 5);
  const path = join(dir, names[1] ?? '');
  const bytes = await readFile(path);
  bytes[100] = (bytes[100] ?? 0) ^ 1;
  await writeFile(path, bytes);
  const { log, lines } = recordingLog();

  const spool = await openSpool(t, dir, { log });
  const cursor = spool.cursor('reader');
  t.strictSame(await readPositions(cursor, 2), [1, 2]);
  await t.rejects(readPositions(cursor, 1), { code: 'spool-corrupt', message: new RegExp(`byte 0 of .*${names[1]}`) });
  await t.rejects(readPositions(cursor, 1), { code: 'spool-corrupt' });
  t.strictSame(await readFile(path), bytes);
  await spool.close();

  await rm(path);
  const withoutIt = await openSpool(t, dir, { log });
  t.strictSame(await readIds(withoutIt, 8), [...idsOf(1, 2), ...idsOf(5, 10)]);
  t.match(lines.filter(({ level }) => level === 'error'), [{ from: 3, to: 4 }]);
});

t.test('an older segment that ends inside a record is an error', async (t) => {
  const dir = t.testdir();
  const names = await fillSegments(t, dir);
  await truncate(join(dir, names[2] ?? ''), 700);

  const spool = await openSpool(t, dir);
  const cursor = spool.cursor('reader');
  t.strictSame(await readPositions(cursor, 4), [1, 2, 3, 4]);
  await t.rejects(readPositions(cursor, 1), { code: 'spool-corrupt' });
});

t.test('a segment goes when the slowest cursor has passed it', async (t) => {
  const dir = t.testdir();
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
  const spool = await openSpool(t, t.testdir(), { maxBytes: 30_000_000, segmentBytes: 3_000_000, sync: 'never' });
  const cursor = spool.cursor('a');
  const big = [10, 700_000, 1_048_576, 2_500_000, 0, 5_000_000].map((length, n) => makeMessage(n + 1, { body: Buffer.alloc(length, n) }));
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
  const dir = t.testdir();
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
  await t.rejects(readPositions(cursor, 1), { code: 'spool-corrupt' }, 'from the disk');
});

t.test('a cursor ahead of the log reads what comes next', async (t) => {
  const dir = t.testdir();
  const first = await openSpool(t, dir);
  await first.append(makeMessages(1, 3));
  await first.close();
  await writeFile(join(dir, 'cursors.json'), '{"a":90}');

  const second = await openSpool(t, dir);
  t.equal(second.cursor('a').committed, 3);
  await second.append([makeMessage(4)]);
  t.strictSame(await readPositions(second.cursor('a'), 1), [4]);
});

t.test('a folder of another format is refused', async (t) => {
  const cases = [
    { files: { 'spool.json': '{"format":2}\n' }, expected: { code: 'spool-format', message: /to say format 1, got \{"format":2\}/ } },
    { files: { '0000000000000001.log': '' }, expected: { code: 'spool-format', message: /spool\.json/ } },
    { files: { 'spool.json': '{"format":1}\n', 'cursors.json': '{"a":' }, expected: { code: 'spool-corrupt', message: /cursors\.json/ } },
  ];
  for (const { files, expected } of cases) {
    const dir = t.testdir(files);
    await t.rejects(openSpool(t, dir), { retryable: false, ...expected });
    t.notOk((await readdir(dir)).includes('lock'));
  }
});

t.test('a folder of another owner is refused', async (t) => {
  const dir = t.testdir();
  const owned = await openSpool(t, dir, { owner: 'of A' });
  await owned.close();

  for (const owner of [undefined, 'of B']) await t.rejects(openSpool(t, dir, { ...(owner === undefined ? {} : { owner }) }), { code: 'spool-foreign', retryable: false, message: /spool\.json.*it says of A/u });
  await t.resolves(openSpool(t, dir, { owner: 'of A' }));
});

t.test('a folder that cannot be made is named, with the reason', async (t) => {
  const dir = join(t.testdir({ file: '' }), 'file', 'spool');
  await t.rejects(openSpool(t, dir), { code: 'spool-unavailable', message: new RegExp(`${dir}; make sure`, 'u'), cause: { code: 'ENOTDIR' } });
});

t.test('a folder has one user', async (t) => {
  const dir = t.testdir();
  const first = await openSpool(t, dir);
  await t.rejects(openSpool(t, dir), { code: 'spool-locked', message: new RegExp(`process ${process.pid} `) });
  await first.close();

  const ended = spawnSync(process.execPath, ['-e', '']).pid;
  for (const stale of [`${ended} 123\n`, `${process.ppid} 123\n`, `${process.pid} 1\n`, '']) {
    await writeFile(join(dir, 'lock'), stale);
    const spool = await openSpool(t, dir);
    await spool.close();
  }

  await writeFile(join(dir, 'lock'), `${process.ppid}\n`);
  await t.rejects(openSpool(t, dir), { code: 'spool-locked' });
});

t.test('a full disk rejects the append and leaves a clean tail', { skip: process.platform !== 'linux' && '/dev/full is of Linux' }, async (t) => {
  const dir = t.testdir();
  const spool = await openSpool(t, dir, { segmentBytes: 1_000 });
  await spool.append([makeMessage(1, { body })]);
  await symlink('/dev/full', join(dir, '0000000000000002.log'));
  const held = spool.bytes;

  const rejected = { code: 'spool-unavailable', retryable: true, message: new RegExp(`${dir}.*disk has space`), cause: { code: 'ENOSPC' } };
  await t.rejects(spool.append([makeMessage(2)]), rejected);
  await t.rejects(spool.append([makeMessage(2)]), { code: 'spool-unavailable' });
  t.equal(spool.bytes, held);
  t.equal(spool.last, 1);
  await spool.close();

  await rm(join(dir, '0000000000000002.log'));
  const again = await openSpool(t, dir);
  t.equal(await again.append([makeMessage(2)]), 2);
  t.strictSame(await readIds(again, 2), idsOf(1, 2));
});

t.test('cursors that cannot be saved are retried with one warning', async (t) => {
  const dir = t.testdir();
  const { log, lines } = recordingLog();
  const spool = await openSpool(t, dir, { log });
  const cursor = spool.cursor('a');
  await spool.append(makeMessages(1, 3));
  await mkdir(join(dir, 'cursors.json.new'));

  cursor.commit(2);
  await eventually(() => lines.length === 1);
  await rm(join(dir, 'cursors.json.new'), { recursive: true });

  await eventually(async () => await readFile(join(dir, 'cursors.json'), 'utf8') === '{"a":2}\n');
  t.match(lines, [{ level: 'warn' }]);
});
