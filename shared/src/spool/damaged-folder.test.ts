import { appendFile, cp, readFile, readdir, rename, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { findOpenToOthers } from '@hydrant/testing/open-to-others';
import { testFolder } from '@hydrant/testing/test-folder';
import { recordingLog, testLog } from '@hydrant/testing/test-log';
import t from 'tap';
import type { Test } from 'tap';
import { systemClock } from '../foundation/clock.ts';
import { createFolderSpool } from './folder-spool.ts';
import type { FolderSpoolOptions } from './folder-spool.ts';
import { writePositions } from './folder/cursor-file.ts';
import { encodeRecords, numberRecords } from './folder/record-codec.ts';
import { idsOf, makeMessage, makeMessages, readIds, readPositions } from './spool-contract.ts';
import type { Spool } from './spool.ts';

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

/** Closed, with five segments of two records. */
async function fillSegments(t: Test, dir: string): Promise<string[]> {
  const spool = await openSpool(t, dir, { segmentBytes: 2_000 });
  for (let n = 1; n <= 10; n += 1) await spool.append([makeMessage(n, { body })]);
  await spool.close();
  return segmentNames(dir);
}

t.test('a damaged record costs itself alone, wherever it is damaged, and is set aside', async (t) => {
  const one = encode(1, 1).length;
  const cases = {
    magic: 1,
    'most significant byte of the length': 4,
    'least significant byte of the length': 7,
    position: 12,
    'checksum of the content': 15,
    'checksum of the head': 19,
    content: 50,
  };
  for (const [what, offset] of Object.entries(cases)) {
    const dir = testFolder(t);
    const first = await openSpool(t, dir);
    first.cursor('reader');
    await first.append(makeMessages(1, 5));
    await first.close();
    const path = join(dir, '0000000000000001.log');
    const bytes = await readFile(path);
    bytes[one + offset] = (bytes[one + offset] ?? 0) ^ 4;
    await writeFile(path, bytes);
    const { log, lines } = recordingLog();

    const spool = await openSpool(t, dir, { log });
    t.equal(await spool.append([makeMessage(6)]), 6, what);
    t.strictSame(await readIds(spool, 5), [...idsOf(1, 1), ...idsOf(3, 6)], what);
    await spool.close();

    const setAside = join(dir, 'damaged', `0000000000000001.log.${String(one)}`);
    t.match(
      lines.filter(({ level }) => level !== 'info'),
      [{ level: 'error', file: path, offset: one, from: 2, to: 2, setAside }],
      what,
    );
    t.strictSame(await readFile(setAside), bytes.subarray(one, 2 * one), what);
  }
});

t.test('a torn tail is set aside before it is cut off', async (t) => {
  const dir = testFolder(t);
  const first = await openSpool(t, dir);
  await first.append(makeMessages(1, 3));
  await first.close();
  const path = join(dir, '0000000000000001.log');
  const { size } = await stat(path);
  const torn = encode(4, 4).subarray(0, -1);
  await appendFile(path, torn);
  const { log, lines } = recordingLog();

  await openSpool(t, dir, { log });

  const setAside = join(dir, 'damaged', `0000000000000001.log.${String(size)}`);
  t.match(lines, [{ level: 'warn', file: path, offset: size, bytes: torn.length, kept: 3, setAside }]);
  t.strictSame(await readFile(setAside), torn);
  t.equal((await stat(path)).size, size);
});

t.test('every file and folder is for its owner alone', async (t) => {
  const umask = process.umask(0);
  t.teardown(() => process.umask(umask));
  const dir = join(testFolder(t), 'log');
  const first = await openSpool(t, dir, { segmentBytes: 2_000 });
  first.cursor('reader');
  for (let n = 1; n <= 5; n += 1) await first.append([makeMessage(n, { body })]);
  await first.close();
  const names = await segmentNames(dir);
  await appendFile(join(dir, names.at(-1) ?? ''), 'torn');
  await cp(join(dir, names[0] ?? ''), join(dir, '0000000000000888.log'));

  await openSpool(t, dir);

  const modes = await Promise.all(
    (await readdir(dir, { recursive: true })).map(async (name) => [
      name,
      ((await stat(join(dir, name))).mode & 0o777).toString(8),
    ]),
  );
  t.equal(((await stat(dir)).mode & 0o777).toString(8), '700');
  t.strictSame(
    modes.sort(),
    [
      'cursors.json',
      'damaged',
      `damaged/0000000000000888.log`,
      `damaged/${names.at(-1) ?? ''}.${String((await stat(join(dir, names.at(-1) ?? ''))).size)}`,
      'lock',
      'spool.json',
      ...names,
    ]
      .map((name) => [name, name === 'damaged' ? '700' : '600'])
      .sort(),
  );
});

t.test(
  'damage in an older segment costs what is damaged alone, and is reported once however many read it',
  async (t) => {
    const dir = testFolder(t);
    const names = await fillSegments(t, dir);
    t.equal(names.length, 5);
    const path = join(dir, names[1] ?? '');
    const bytes = await readFile(path);
    bytes[100] = (bytes[100] ?? 0) ^ 1;
    await writeFile(path, bytes);
    await truncate(join(dir, names[3] ?? ''), 700);
    const { log, lines } = recordingLog();

    const spool = await openSpool(t, dir, { log });
    t.strictSame(await readIds(spool, 7), [...idsOf(1, 2), ...idsOf(4, 6), ...idsOf(9, 10)]);
    t.strictSame(await readPositions(spool.cursor('other'), 7), [1, 2, 4, 5, 6, 9, 10]);
    await spool.close();

    const errors = lines.filter(({ level }) => level === 'error');
    t.equal(errors.length, 3);
    t.match(
      errors.filter(({ offset }) => offset !== undefined),
      [
        { file: path, from: 3, to: 3 },
        { file: join(dir, names[3] ?? ''), bytes: 700, from: 7 },
      ],
    );
    t.match(
      errors.filter(({ offset }) => offset === undefined),
      [{ from: 7, to: 8 }],
    );
  },
);

t.test('a missing segment is reported, the oldest and the newest, too, and positions go on', async (t) => {
  for (const [missing, expected] of [
    [0, { from: 1, to: 2 }],
    [2, { from: 5, to: 6 }],
    [4, { from: 9, to: 10 }],
  ] as const) {
    const dir = testFolder(t);
    const filled = await openSpool(t, dir, { segmentBytes: 2_000 });
    filled.cursor('reader');
    for (let n = 1; n <= 10; n += 1) await filled.append([makeMessage(n, { body })]);
    filled.cursor('another');
    await filled.close();
    await rm(join(dir, (await segmentNames(dir))[missing] ?? ''));
    const { log, lines } = recordingLog();

    const spool = await openSpool(t, dir, { log });
    t.equal(await spool.append([makeMessage(11)]), 11);
    t.strictSame(
      await readIds(spool, 9),
      idsOf(1, 11).filter((_, n) => n + 1 < expected.from || n + 1 > expected.to),
    );
    await spool.close();

    t.match(lines.filter(({ level }) => level === 'error').slice(0, 1), [expected]);
  }
});

t.test('without any segment a log says that something is lost, whatever the cursors say', async (t) => {
  for (const [text, next] of [
    [writePositions(1, [['reader', 1]]), 2],
    ['[', 1],
  ] as const) {
    const dir = testFolder(t, { 'spool.json': '{"format":2}\n', 'cursors.json': text });
    const { log, lines } = recordingLog();

    const spool = await openSpool(t, dir, { log });

    t.match(lines, [{ level: 'error', dir, next }]);
    t.equal(await spool.append([makeMessage(next)]), next);
    await spool.close();
  }
});

t.test('without their file, or with a damaged one, cursors begin at the oldest record', async (t) => {
  const copy = writePositions(3, [['reader', 3]]);
  for (const [what, text] of Object.entries({
    absent: undefined,
    empty: '',
    'not json': '[',
    'a digit changed': copy.replace('3', '2'),
    'cut in the middle': copy.slice(0, 20),
  })) {
    const dir = testFolder(t);
    const first = await openSpool(t, dir);
    first.cursor('reader');
    await first.append(makeMessages(1, 3));
    await first.close();
    await (text === undefined ? rm(join(dir, 'cursors.json')) : writeFile(join(dir, 'cursors.json'), text));
    const { log, lines } = recordingLog();

    const second = await openSpool(t, dir, { log });

    t.equal(second.cursor('reader', { from: 'end' }).committed, 0, what);
    t.match(lines, [{ level: 'error', state: text === undefined ? 'absent' : 'damaged' }], what);
    t.strictSame(await readIds(second, 3), idsOf(1, 3), what);
    await second.close();
  }
});

t.test('a cursor that is new begins at the end, which is said', async (t) => {
  const dir = testFolder(t);
  const first = await openSpool(t, dir);
  await first.append(makeMessages(1, 3));
  await first.close();
  const { log, lines } = recordingLog();

  const second = await openSpool(t, dir, { log });

  t.equal(second.cursor('new', { from: 'end' }).committed, 3);
  t.match(lines, [{ level: 'info', cursor: 'new', after: 3 }]);
});

t.test('segments that have the names of one another are all read', async (t) => {
  const dir = testFolder(t);
  const names = await fillSegments(t, dir);
  const [a = '', b = '', c = ''] = names;
  await rename(join(dir, a), join(dir, 'aside'));
  await rename(join(dir, b), join(dir, a));
  await rename(join(dir, c), join(dir, b));
  await rename(join(dir, 'aside'), join(dir, c));

  const spool = await openSpool(t, dir);

  t.strictSame(await segmentNames(dir), names);
  t.strictSame(await readIds(spool, 10), idsOf(1, 10));
});

t.test('a copy of a segment that is damaged takes its place', async (t) => {
  const dir = testFolder(t);
  const names = await fillSegments(t, dir);
  const path = join(dir, names[1] ?? '');
  await cp(path, join(dir, '0000000000000888.log'));
  for (const offset of [5, 100]) {
    const bytes = await readFile(path);
    bytes[offset] = (bytes[offset] ?? 0) ^ 1;
    await writeFile(path, bytes);
  }

  const spool = await openSpool(t, dir);

  t.strictSame(await segmentNames(dir), names);
  t.strictSame(await readdir(join(dir, 'damaged')), [names[1]]);
  t.strictSame(await readIds(spool, 10), idsOf(1, 10));
});

t.test('a segment goes by its records: renamed it gets its name back, copied it is read once', async (t) => {
  const dir = testFolder(t);
  const names = await fillSegments(t, dir);
  await rename(join(dir, names[1] ?? ''), join(dir, '0000000000000777.log'));
  await cp(join(dir, names[3] ?? ''), join(dir, '0000000000000888.log'));

  const spool = await openSpool(t, dir);

  t.strictSame(await segmentNames(dir), names);
  t.strictSame(await readdir(join(dir, 'damaged')), ['0000000000000888.log']);
  t.strictSame(await readIds(spool, 10), idsOf(1, 10));
  t.equal(await spool.append([makeMessage(11)]), 11);
});

t.test('nobody but the owner can read the log, nor what was set aside of it', async (t) => {
  const dir = join(testFolder(t), 'made', 'here');
  const first = await openSpool(t, dir);
  first.cursor('reader');
  await first.append(makeMessages(1, 5));
  await first.close();
  const path = join(dir, '0000000000000001.log');
  const bytes = await readFile(path);
  bytes[50] = (bytes[50] ?? 0) ^ 4;
  await writeFile(path, bytes);

  const spool = await openSpool(t, dir);
  await spool.append([makeMessage(6)]);
  t.strictSame(await readIds(spool, 5), idsOf(2, 6));
  t.equal((await stat(join(dir, 'lock'))).mode & 0o777, 0o600);
  await spool.close();
  const { open, seen } = await findOpenToOthers(join(dir, '..'));

  t.strictSame(open, []);
  for (const name of ['0000000000000001.log', 'cursors.json', 'spool.json', 'damaged/0000000000000001.log.0'])
    t.ok(seen.includes(`here/${name}`), name);
});
