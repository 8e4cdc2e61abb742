import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { systemClock } from '@hydrant/shared/foundation/clock';
import type { Message } from '@hydrant/shared/messages/message';
import { createFolderSpool } from '@hydrant/shared/spool/folder-spool';
import { encodeRecords } from '@hydrant/shared/spool/folder/record-codec';
import type { Cursor, SpoolRecord } from '@hydrant/shared/spool/spool';
import { eventually } from '@hydrant/testing/eventually';
import { testFolder } from '@hydrant/testing/test-folder';
import { testLog } from '@hydrant/testing/test-log';
import t from 'tap';
import { chooseBeginning, readBacklog, type BacklogContent } from './backlog.ts';

const forever = new AbortController().signal;

function makeMessage(index: number, origin: 'stream' | 'snapshot' = 'stream'): Message {
  return {
    id: `${String(index)}/${origin}`,
    routingKey: 'event',
    type: 'nomad',
    contentType: 'application/json',
    appId: 'test',
    timestampMs: 0,
    headers: { index, origin },
    body: Buffer.from('{}'),
  };
}

async function readLeft(cursor: Cursor, count: number): Promise<SpoolRecord[]> {
  const records: SpoolRecord[] = [];
  while (records.length < count)
    for (const record of await cursor.read({ maxRecords: 100, maxBytes: 1_000_000 }, forever)) records.push(record);
  return records;
}

t.test('a backlog tells up to which index the stream is in it', async (t) => {
  const cases: readonly (readonly [string, readonly Message[], BacklogContent])[] = [
    ['nothing', [], { records: 0, index: undefined, wentBack: false }],
    [
      'one frame, which may lack events',
      [makeMessage(5), makeMessage(5)],
      { records: 2, index: undefined, wentBack: false },
    ],
    [
      'several frames',
      [makeMessage(5), makeMessage(7), makeMessage(7), makeMessage(9)],
      { records: 4, index: 7, wentBack: false },
    ],
    [
      'listed objects',
      [makeMessage(5), makeMessage(7), makeMessage(99, 'snapshot')],
      { records: 3, index: 5, wentBack: false },
    ],
    [
      'about to be read a second time',
      [makeMessage(7), makeMessage(9), makeMessage(6)],
      { records: 3, index: undefined, wentBack: true },
    ],
    [
      'read a second time',
      [makeMessage(7), makeMessage(9), makeMessage(6), makeMessage(7)],
      { records: 4, index: 6, wentBack: true },
    ],
  ];
  for (const [name, messages, expected] of cases) {
    const dir = testFolder(t);
    const spool = createFolderSpool({ dir, maxBytes: 1_000_000, log: testLog(), clock: systemClock });
    await spool.open();
    const cursor = spool.cursor('publisher');
    await spool.append([makeMessage(1), makeMessage(2)]);
    cursor.commit(2);
    await spool.append(messages);

    t.strictSame(await readBacklog(cursor, forever), expected, name);
    const next = messages.length === 0 ? [] : await cursor.read({ maxRecords: 100, maxBytes: 1_000_000 }, forever);
    t.strictSame(
      next.map(({ message }) => message.id),
      messages.map(({ id }) => id),
      'the cursor stands before it again',
    );
    await spool.close();
  }
});

t.test('what is lost in the log is read again, and holds up no start', async (t) => {
  const size = (message: Message): number => encodeRecords([message]).bytes.length;
  const messages = [5, 7, 7, 9, 11].map((index) => makeMessage(index));
  const cases: readonly (readonly [string, number, 'closed' | 'open', number | undefined, readonly number[]])[] = [
    ['in the middle', 2, 'closed', 5, [5, 7, 9, 11]],
    ['the first', 0, 'closed', undefined, [7, 7, 9, 11]],
    ['the last', 4, 'closed', 7, [5, 7, 7, 9]],
    ['in the middle, under an open log', 2, 'open', 5, [5, 7, 9, 11]],
    ['the last, under an open log', 4, 'open', 7, [5, 7, 7, 9]],
  ];
  for (const [name, damaged, state, index, left] of cases) {
    const dir = testFolder(t);
    const options = { dir, maxBytes: 1_000_000, log: testLog(), clock: systemClock };
    const before = createFolderSpool(options);
    await before.open();
    before.cursor('publisher');
    await before.append(messages);
    await before.close();
    const path = join(dir, '0000000000000001.log');
    const bytes = await readFile(path);
    const at = messages.slice(0, damaged).reduce((sum, message) => sum + size(message), 0) + 30;
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    const spool = createFolderSpool(options);
    if (state === 'open') await spool.open();
    await writeFile(path, bytes);
    if (state === 'closed') await spool.open();
    const cursor = spool.cursor('publisher');

    t.equal((await readBacklog(cursor, forever)).index, index, name);
    const read = await readLeft(cursor, left.length);
    t.strictSame(
      read.map(({ message }) => message.headers['index']),
      left,
      'the cursor stands before it again',
    );
    cursor.commit(read.at(-1)?.position ?? 0);
    const end = new AbortController();
    const reading = cursor.read({ maxRecords: 100, maxBytes: 1_000_000 }, end.signal);
    await eventually(() => cursor.lag === 0);
    end.abort();
    t.strictSame(await reading, [], 'nothing waits for what is lost');
    await spool.close();
  }
});

t.test('reading goes on after the log, or at the checkpoint where the log cannot tell', (t) => {
  const checkpoint = { index: 100, filter: 'now', source: 'http://nomad' };
  const whole = { filter: 'then', isWhole: true, epoch: 2 };
  const backlog = { records: 9, index: 150, wentBack: false };

  t.strictSame(chooseBeginning(checkpoint, backlog, whole), {
    index: 150,
    filter: 'then',
    epoch: 2,
    source: 'http://nomad',
  });
  t.strictSame(
    chooseBeginning(undefined, backlog, whole),
    { index: 150, filter: 'then', epoch: 2, source: '' },
    'an emptied Redis',
  );
  t.strictSame(
    chooseBeginning(checkpoint, { ...backlog, index: undefined }, whole),
    checkpoint,
    'no whole frame in it',
  );
  t.strictSame(chooseBeginning(checkpoint, backlog, undefined), checkpoint, 'no note');
  t.strictSame(
    chooseBeginning(checkpoint, backlog, { ...whole, isWhole: false }),
    checkpoint,
    'killed while a gap was healed',
  );
  t.strictSame(
    chooseBeginning({ ...checkpoint, index: 400 }, backlog, whole)?.index,
    400,
    'another process has confirmed more',
  );
  t.strictSame(
    chooseBeginning({ ...checkpoint, index: 400 }, { ...backlog, wentBack: true }, whole)?.index,
    150,
    'the stream was read a second time',
  );
  t.end();
});
