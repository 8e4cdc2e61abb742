/**
 * Damages folders of logs as disks and people do. Whatever was acknowledged and lies intact on the disk is read by
 * every cursor that had not passed it; what is not read is reported, in the log or by an error that refuses to start;
 * nothing hangs, and the log takes more records afterwards.
 */
import { copyFile, mkdtemp, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fuzz, type Random } from '@hydrant/testing/fuzz';
import { testFolder } from '@hydrant/testing/test-folder';
import { recordingLog, testLog } from '@hydrant/testing/test-log';
import t from 'tap';
import { systemClock } from '../foundation/clock.ts';
import { errorCode } from '../foundation/errors.ts';
import { createFolderSpool } from './folder-spool.ts';
import { encodeRecords, numberRecords } from './folder/record-codec.ts';
import { makeMessage } from './spool-contract.ts';
import type { Spool } from './spool.ts';

const never = new AbortController().signal;
const names = ['slow', 'fast'];
const limits = { maxRecords: 1000, maxBytes: 1_000_000 };
/** A start may refuse, as long as it says so. */
const refusals = new Set(['spool-unlabelled', 'spool-format', 'spool-foreign', 'spool-corrupt']);

interface Filled {
  readonly count: number;
  readonly committed: ReadonlyMap<string, number>;
}

function openLog(dir: string, log = testLog()): Spool {
  return createFolderSpool({ dir, maxBytes: 1_000_000, segmentBytes: 2_000, sync: 'never', log, clock: systemClock });
}

/** Segments of a few records each, and an early copy of the small files beside the folder. */
async function fill(random: Random, dir: string, early: string): Promise<Filled> {
  const spool = openLog(dir);
  await spool.open();
  const cursors = names.map((name) => spool.cursor(name));
  let count = 0;
  for (let batches = 2 + random.below(8); batches > 0; batches -= 1) {
    const messages = Array.from({ length: 1 + random.below(4) }, (_, n) =>
      makeMessage(count + n + 1, { body: Buffer.alloc(random.below(900), 'b') }),
    );
    count = await spool.append(messages);
    if (random.oneIn(3)) random.pick(cursors).commit(random.below(count + 1));
    if (batches === 2) await copyFile(join(dir, 'cursors.json'), early);
  }
  const committed = new Map(cursors.map(({ name, committed: position }) => [name, position]));
  await spool.close();
  return { count, committed };
}

async function damageOnce(random: Random, dir: string, early: string): Promise<string> {
  const segments = (await readdir(dir)).filter((name) => name.endsWith('.log'));
  const file =
    random.oneIn(4) || segments.length === 0
      ? random.pick(['cursors.json', 'spool.json', 'lock'])
      : random.pick(segments);
  const path = join(dir, file);
  const bytes = await readFile(path).catch(() => Buffer.alloc(0));
  const at = random.below(bytes.length + 1);
  const kind = random.pick(['flip', 'truncate', 'zeros', 'missing', 'duplicate', 'rename', 'stale', 'noise']);
  if (kind === 'flip' && at < bytes.length) bytes[at] = (bytes[at] ?? 0) ^ (1 << random.below(8));
  else if (kind === 'zeros') bytes.fill(0, at, Math.min(bytes.length, at + random.below(200)));
  if (kind === 'flip' || kind === 'zeros') await writeFile(path, bytes);
  else if (kind === 'truncate') await writeFile(path, bytes.subarray(0, at));
  else if (kind === 'noise') await writeFile(path, Buffer.concat([bytes, random.bytes(random.below(100))]));
  else if (kind === 'missing') await rm(path, { force: true });
  else if (kind === 'stale') await copyFile(early, join(dir, 'cursors.json'));
  else if (file.endsWith('.log')) {
    const other = join(dir, `${String(random.below(100)).padStart(16, '0')}.log`);
    await (kind === 'rename' ? rename(path, other) : copyFile(path, other));
  }
  return `${kind} ${file} at ${String(at)}`;
}

/** The segments, as they lie in the folder. */
async function readSegments(dir: string): Promise<Map<string, Buffer>> {
  const files = (await readdir(dir)).filter((name) => /^\d{16}\.log$/u.test(name));
  return new Map(await Promise.all(files.map(async (name) => [name, await readFile(join(dir, name))] as const)));
}

/** Copies of segments that a start has set aside, which it reports. */
async function readSetAside(dir: string): Promise<readonly string[]> {
  return readdir(join(dir, 'damaged')).catch(() => []);
}

/** The bytes of every record, read before the damage. */
async function readWritten(dir: string): Promise<Map<number, Buffer>> {
  const spool = openLog(dir);
  await spool.open();
  const written = new Map<number, Buffer>();
  const cursor = spool.cursor('witness');
  while (written.size < cursor.lag) {
    for (const { position, message } of await cursor.read(limits, never)) {
      const records = encodeRecords([message]);
      numberRecords(records, position);
      written.set(position, Buffer.from(records.bytes));
    }
  }
  await spool.removeCursor('witness');
  await spool.close();
  return written;
}

async function readAll(spool: Spool, name: string): Promise<Set<number>> {
  const cursor = spool.cursor(name, { from: 'end' });
  const read = new Set<number>();
  cursor.rewind(1);
  for (let last = cursor.committed; last < spool.last;) {
    const batch = await cursor.read(limits, never);
    if (batch.length === 0) break;
    for (const { position } of batch) {
      if (position <= last) throw new Error(`cursor ${name} read ${String(position)} after ${String(last)}`);
      read.add(position);
      last = position;
    }
  }
  return read;
}

t.test('what lies intact in a damaged folder is read, and the rest is reported', async (t) => {
  const base = testFolder(t);
  await fuzz(t, async (random) => {
    const home = await mkdtemp(join(base, 'round-'));
    const [dir, early] = [join(home, 'log'), join(home, 'cursors.json')];
    const { count, committed } = await fill(random, dir, early);
    const written = await readWritten(dir);
    const damages: string[] = [];
    for (let n = 1 + random.below(3); n > 0; n -= 1) damages.push(await damageOnce(random, dir, early));
    const segments = await readSegments(dir);
    const { log, lines } = recordingLog();
    const lost: number[] = [];
    const saved = await readFile(join(dir, 'cursors.json')).catch(() => undefined);
    // n.b. so looks a log that never held a record.
    const looksNew = segments.size === 0 && saved === undefined;
    const spool = openLog(dir, log);
    try {
      await spool.open();
    } catch (thrown) {
      if (refusals.has(errorCode(thrown) ?? '')) return;
      throw new Error(`Expected a start, or a refusal that says what to do, after ${damages.join(', ')}`, {
        cause: thrown,
      });
    }
    try {
      for (const name of await readSetAside(dir)) segments.delete(name);
      const isIntact = (position: number): boolean =>
        [...segments.values()].some((bytes) => bytes.includes(written.get(position) ?? ''));
      const early = random.oneIn(2)
        ? await Promise.all(names.map((name) => readAll(spool, name)))
        : names.map(() => new Set<number>());
      const after = await spool.append([makeMessage(count + 1)]);
      for (const [n, name] of names.entries()) {
        const read = new Set([...(early[n] ?? []), ...(await readAll(spool, name))]);
        const due = [...written.keys()].filter((position) => position > (committed.get(name) ?? 0));
        const unread = due.filter((position) => !read.has(position));
        const silent = unread.filter(isIntact);
        if (silent.length > 0)
          throw new Error(
            `${name} did not read ${silent.join()}, which lie intact on the disk, after ${damages.join(', ')}`,
          );
        if (!read.has(after))
          throw new Error(`${name} did not read the record that came later, after ${damages.join(', ')}`);
        lost.push(...unread);
      }
    } finally {
      await spool.close();
    }
    if (lost.length > 0 && !looksNew && !lines.some(({ level }) => level === 'error' || level === 'warn'))
      throw new Error(`Nothing was said of ${lost.join()}, lost after ${damages.join(', ')}`);
    await rm(home, { recursive: true, force: true });
  });
});
