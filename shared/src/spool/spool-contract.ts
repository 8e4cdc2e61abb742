/**
 * What both adapters of the spool port must do. `create` gives a fresh, opened log; whoever made it closes it
 * (`t.teardown`).
 */
import { eventually } from '@hydrant/testing/eventually';
import type { Test } from 'tap';
import type { Message } from '../messages/message.ts';
import type { Cursor, Spool } from './spool.ts';

export interface SpoolAdapter {
  readonly name: string;
  create(t: Test, options: { readonly maxBytes: number }): Promise<Spool>;
}

const never = new AbortController().signal;
const all = { maxRecords: 10_000, maxBytes: 100_000_000 };

export function makeMessage(n: number, changes: Partial<Message> = {}): Message {
  return {
    id: `default/${n}/Allocation/default/key/0`,
    routingKey: 'event.Allocation.AllocationUpdated.default.web',
    type: 'nomad.Allocation.AllocationUpdated',
    contentType: 'application/json',
    appId: 'hydrant-firehose',
    timestampMs: 1_790_000_000_000 + n,
    headers: { cluster: 'default', index: n, origin: 'stream', snapshot: false },
    body: Buffer.from(`{"Index":${n},"Name":"größer"}`),
    ...changes,
  };
}

export function makeMessages(from: number, to: number, changes: Partial<Message> = {}): Message[] {
  return Array.from({ length: to - from + 1 }, (_, n) => makeMessage(from + n, changes));
}

export function idsOf(from: number, to: number): string[] {
  return makeMessages(from, to).map(({ id }) => id);
}

/** Reads with the cursor "reader" until `count` records came. */
export async function readIds(spool: Spool, count: number): Promise<string[]> {
  const cursor = spool.cursor('reader');
  const found: string[] = [];
  while (found.length < count)
    for (const { message } of await cursor.read({ ...all, maxRecords: 1000 }, never)) found.push(message.id);
  return found;
}

/** Reads until `count` records came. */
export async function readPositions(cursor: Cursor, count: number): Promise<number[]> {
  const positions: number[] = [];
  while (positions.length < count) {
    for (const { position } of await cursor.read({ ...all, maxRecords: count - positions.length }, never))
      positions.push(position);
  }
  return positions;
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, n) => from + n);
}

async function checkReading(t: Test, adapter: SpoolAdapter): Promise<void> {
  await t.test('records come back as they were, in order, numbered from 1', async (t) => {
    const spool = await adapter.create(t, { maxBytes: 1_000_000 });
    const odd = makeMessage(3, { body: Buffer.from([0, 255, 10, 13]), headers: {}, id: '', routingKey: 'ключ' });
    const empty = makeMessage(4, { body: Buffer.alloc(0) });

    t.equal(spool.last, 0);
    t.equal(await spool.append([makeMessage(1), makeMessage(2)]), 2);
    t.equal(await spool.append([odd, empty]), 4);
    t.equal(await spool.append([]), 4);

    const records = [];
    const cursor = spool.cursor('a');
    while (records.length < 4) records.push(...(await cursor.read(all, never)));
    t.strictSame(
      records.map(({ position }) => position),
      [1, 2, 3, 4],
    );
    t.strictSame(
      records.map(({ message }) => message),
      [makeMessage(1), makeMessage(2), odd, empty],
    );
    t.equal(spool.last, 4);
  });

  await t.test('the order of appends is the order of records', async (t) => {
    const spool = await adapter.create(t, { maxBytes: 10_000_000 });

    const lasts = await Promise.all(range(1, 500).map((n) => spool.append([makeMessage(n)])));

    t.strictSame(lasts, range(1, 500));
    const cursor = spool.cursor('a');
    const indexes: unknown[] = [];
    while (indexes.length < 500)
      for (const { message } of await cursor.read(all, never)) indexes.push(message.headers['index']);
    t.strictSame(indexes, range(1, 500));
  });

  await t.test('read keeps to its limits and gives one record at least', async (t) => {
    const spool = await adapter.create(t, { maxBytes: 1_000_000 });
    await spool.append(makeMessages(1, 10, { body: Buffer.alloc(1000) }));
    const cursor = spool.cursor('a');

    t.equal((await cursor.read({ maxRecords: 3, maxBytes: 1_000_000 }, never)).length, 3);
    t.equal((await cursor.read({ maxRecords: 3, maxBytes: 1 }, never)).length, 1);
    t.ok((await cursor.read({ maxRecords: 10, maxBytes: 2500 }, never)).length <= 3);
  });

  await t.test('read waits for the next record or the signal', async (t) => {
    const spool = await adapter.create(t, { maxBytes: 1_000_000 });
    const cursor = spool.cursor('a');
    const waiting = cursor.read(all, never);
    await spool.append([makeMessage(1)]);
    t.equal((await waiting)[0]?.position, 1);

    const controller = new AbortController();
    const stopped = cursor.read(all, controller.signal);
    controller.abort();
    t.strictSame(await stopped, []);
    t.strictSame(await cursor.read(all, controller.signal), []);

    await spool.append([makeMessage(2)]);
    t.strictSame(await readPositions(cursor, 1), [2]);
  });
}

async function checkCursors(t: Test, adapter: SpoolAdapter): Promise<void> {
  await t.test('cursors read on their own, from the start or the end', async (t) => {
    const spool = await adapter.create(t, { maxBytes: 1_000_000 });
    const first = spool.cursor('first');
    await spool.append(makeMessages(1, 5));
    const late = spool.cursor('late', { from: 'end' });
    const early = spool.cursor('early', { from: 'start' });
    await spool.append(makeMessages(6, 7));

    t.strictSame(await readPositions(first, 7), range(1, 7));
    t.strictSame(await readPositions(late, 2), [6, 7]);
    t.strictSame(await readPositions(early, 7), range(1, 7));
    t.equal(spool.cursor('late'), late);
    t.equal(late.committed, 5);
  });

  await t.test('rewind reads again, but nothing that was committed', async (t) => {
    const spool = await adapter.create(t, { maxBytes: 1_000_000 });
    await spool.append(makeMessages(1, 9));
    const cursor = spool.cursor('a');
    await readPositions(cursor, 9);

    cursor.rewind(4);
    t.strictSame(await readPositions(cursor, 6), range(4, 9));
    cursor.commit(6);
    cursor.commit(2);
    cursor.rewind(1);
    t.equal(cursor.committed, 6);
    t.strictSame(await readPositions(cursor, 3), [7, 8, 9]);
    cursor.commit(1000);
    t.equal(cursor.committed, 9);
  });

  await t.test('commit passes records that were not read', async (t) => {
    const spool = await adapter.create(t, { maxBytes: 1_000_000 });
    await spool.append(makeMessages(1, 9));
    const cursor = spool.cursor('a');
    cursor.commit(5);
    t.strictSame(await readPositions(cursor, 4), [6, 7, 8, 9]);
  });

  await t.test('lag counts records and bytes that are not committed', async (t) => {
    const spool = await adapter.create(t, { maxBytes: 1_000_000 });
    const cursor = spool.cursor('a');
    t.equal(cursor.lag, 0);
    t.equal(cursor.lagBytes, 0);
    await spool.append(makeMessages(1, 10, { body: Buffer.alloc(2000) }));

    t.equal(cursor.lag, 10);
    const whole = cursor.lagBytes;
    t.ok(whole >= 20_000 && whole < 30_000);
    cursor.commit(5);
    t.equal(cursor.lag, 5);
    t.ok(Math.abs(cursor.lagBytes - whole / 2) < 200);
    cursor.commit(10);
    t.equal(cursor.lag, 0);
    t.equal(cursor.lagBytes, 0);
  });
}

async function checkBound(t: Test, adapter: SpoolAdapter): Promise<void> {
  const body = Buffer.alloc(1000);

  await t.test('append waits above maxBytes until the slowest cursor moved', async (t) => {
    const spool = await adapter.create(t, { maxBytes: 20_000 });
    const told: (string | null)[] = [];
    spool.onFull((slowest) => told.push(slowest));
    const slow = spool.cursor('slow');
    const fast = spool.cursor('fast');
    let kept = 0;
    const appends = range(1, 60).map((n) =>
      spool.append([makeMessage(n, { body })]).then(() => {
        kept += 1;
      }),
    );

    await readPositions(fast, 10);
    fast.commit(10);
    await eventually(() => kept >= 10);
    t.strictSame(told, ['slow']);
    t.ok(kept < 20);
    t.ok(spool.bytes <= 20_000);

    const positions: number[] = [];
    while (positions.length < 60) {
      const read = await slow.read(all, never);
      positions.push(...read.map(({ position }) => position));
      slow.commit(positions.at(-1) ?? 0);
      fast.commit(positions.at(-1) ?? 0);
    }
    await Promise.all(appends);
    t.strictSame(positions, range(1, 60));
    t.equal(told.at(-1), null);
    t.equal(spool.last, 60);
  });

  await t.test('append gives up waiting when its signal aborts', async (t) => {
    const spool = await adapter.create(t, { maxBytes: 5_000 });
    const cursor = spool.cursor('a');
    await spool.append(makeMessages(1, 3, { body }));
    const controller = new AbortController();
    const first = spool.append(makeMessages(4, 6, { body }), controller.signal);
    const second = spool.append(makeMessages(4, 6, { body }));
    controller.abort();

    await t.rejects(first, { code: 'spool-full', retryable: true });
    await t.rejects(spool.append(makeMessages(4, 6, { body }), controller.signal), { code: 'spool-full' });
    cursor.commit(3);
    t.equal(await second, 6);
    t.strictSame(await readPositions(cursor, 3), [4, 5, 6]);
  });

  await t.test('append that may go above the bound does not wait', async (t) => {
    const spool = await adapter.create(t, { maxBytes: 5_000 });
    const cursor = spool.cursor('a');
    await spool.append(makeMessages(1, 3, { body }));
    const waiting = spool.append(makeMessages(5, 7, { body }));

    t.equal(await spool.append([makeMessage(4, { body: Buffer.alloc(9_000) })], undefined, { evenWhenFull: true }), 4);
    cursor.commit(4);
    t.equal(await waiting, 7);
  });

  await t.test('what is larger than the log goes in when it is empty', async (t) => {
    const spool = await adapter.create(t, { maxBytes: 5_000 });
    const cursor = spool.cursor('a');
    t.equal(await spool.append(makeMessages(1, 20, { body })), 20);
    const next = spool.append([makeMessage(21)]);
    cursor.commit(20);
    t.equal(await next, 21);
  });

  await t.test('a removed cursor holds nothing back', async (t) => {
    const spool = await adapter.create(t, { maxBytes: 5_000 });
    const cursor = spool.cursor('stays');
    spool.cursor('goes');
    await spool.append(makeMessages(1, 3, { body }));
    const next = spool.append(makeMessages(4, 6, { body }));
    cursor.commit(3);
    await spool.removeCursor('goes');
    await spool.removeCursor('never-was');
    t.equal(await next, 6);
    t.same(
      spool.cursors().map(({ name, lag }) => [name, lag]),
      [['stays', 3]],
    );
  });

  await t.test('close ends what waits and is safe twice', async (t) => {
    const spool = await adapter.create(t, { maxBytes: 5_000 });
    const cursor = spool.cursor('a', { from: 'end' });
    await spool.append(makeMessages(1, 3, { body }));
    await readPositions(cursor, 3);
    const reading = t.rejects(cursor.read(all, never), { code: 'spool-unavailable' });
    const appending = t.rejects(spool.append(makeMessages(4, 6, { body })), { code: 'spool-unavailable' });

    await spool.close();
    await spool.close();

    await Promise.all([reading, appending]);
    await t.rejects(spool.append([makeMessage(9)]), { code: 'spool-unavailable' });
  });
}

/** Registers one sub-test per behaviour under the adapter's name. */
export async function spoolContract(t: Test, adapter: SpoolAdapter): Promise<void> {
  await t.test(`spool contract: ${adapter.name}`, async (t) => {
    await checkReading(t, adapter);
    await checkCursors(t, adapter);
    await checkBound(t, adapter);
  });
}
