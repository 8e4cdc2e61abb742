/**
 * Writes records of every shape into a segment and reads them again, in pieces that end anywhere. A single flipped bit
 * costs the record that it is in, no other, and is reported.
 */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fuzz, type Random } from '@hydrant/testing/fuzz';
import { testFolder } from '@hydrant/testing/test-folder';
import t from 'tap';
import type { HeaderValue, Message } from '../../messages/message.ts';
import type { SpoolRecord } from '../spool.ts';
import {
  decodeRecord,
  encodeRecords,
  isIntact,
  maxPosition,
  numberRecords,
  readHead,
  recordMagic,
  type EncodedRecords,
} from './record-codec.ts';
import { SegmentReader, type Damage } from './segment-reader.ts';

const pieceBytes = 1024 * 1024;
const words = [
  '',
  'a',
  'event.Job.JobRegistered.default.web',
  'ä',
  '語',
  '😀',
  '\ud800',
  '\udfff',
  '\0',
  '\n',
  '"',
  '\\',
  '\u2028',
  '\ufeff',
  '__proto__',
  'constructor',
  'x'.repeat(300),
  '\u00ffHY2',
];
const numbers = [0, 1, -1, 1.5, 1e300, 5e-324, 1_790_000_000_000, Number.MAX_SAFE_INTEGER];

function makeText({ below, pick }: Random): string {
  return Array.from({ length: below(3) }, () => pick(words)).join('');
}

/** n.b. the magic alone begins no record. */
function makeBody(random: Random, mostBytes: number): Buffer {
  const parts = Array.from({ length: random.below(4) }, () =>
    random.oneIn(3) ? recordMagic : random.bytes(random.below(40)),
  );
  const length = random.oneIn(3) ? random.below(mostBytes) : 0;
  return Buffer.concat([...parts, Buffer.alloc(length, random.pick(['b', 'ÿ', '\0'])), ...parts]);
}

function makeMessage(random: Random, mostBytes: number): Message {
  const text = (): string => makeText(random);
  const headers = Array.from({ length: random.below(4) }, (): [string, HeaderValue] => [
    text(),
    random.pick([text(), random.pick(numbers), true, false]),
  ]);
  return {
    id: text(),
    routingKey: text(),
    type: text(),
    contentType: text(),
    appId: text(),
    timestampMs: random.pick(numbers),
    headers: Object.fromEntries(headers),
    body: makeBody(random, mostBytes),
  };
}

interface Segment {
  readonly messages: readonly Message[];
  readonly first: number;
  readonly records: EncodedRecords;
}

function makeSegment(
  random: Random,
  { atLeast, mostBytes }: { readonly atLeast: number; readonly mostBytes: number },
): Segment {
  const messages = Array.from({ length: atLeast + random.below(8) }, () => makeMessage(random, mostBytes));
  const first = random.oneIn(4) ? maxPosition - messages.length + 1 : 1 + random.below(2 ** 31);
  const records = encodeRecords(messages);
  numberRecords(records, first);
  return { messages, first, records };
}

/** Where the records end. */
function endsOf({ bytes, offsets }: EncodedRecords): readonly number[] {
  return [...offsets.slice(1), bytes.length];
}

async function readOn(reader: SegmentReader): Promise<readonly SpoolRecord[]> {
  const read: SpoolRecord[] = [];
  while (await reader.load()) {
    const record = reader.take();
    if (record !== undefined) read.push(record);
  }
  return read;
}

function assertRead(read: readonly SpoolRecord[], { messages, first }: Segment, positions: readonly number[]): void {
  assert.deepEqual(
    read.map(({ position }) => position),
    positions,
  );
  for (const { position, message } of read) {
    const expected = messages[position - first];
    assert.ok(expected?.body.equals(message.body), `the body of ${String(position)}`);
    assert.deepEqual({ ...message, body: '' }, { ...expected, body: '' });
  }
}

function range(from: number, count: number): readonly number[] {
  return Array.from({ length: count }, (_, n) => from + n);
}

t.test('what is encoded is decoded as it was', async (t) => {
  await fuzz(t, (random) => {
    const segment = makeSegment(random, { atLeast: 1, mostBytes: 3000 });
    const { bytes, offsets } = segment.records;
    const ends = endsOf(segment.records);
    const read = offsets.map((at, n) => {
      const head = readHead(bytes, at);
      const end = ends[n] ?? 0;
      assert.deepEqual(head, { position: segment.first + n, size: end - at });
      assert.ok(isIntact(bytes, at, end));
      return { position: head?.position ?? 0, message: decodeRecord(bytes, at, end) };
    });
    assertRead(read, segment, range(segment.first, offsets.length));
  });
});

t.test('a segment is read whole, wherever its pieces end, while it grows, and from any record on', async (t) => {
  const path = join(testFolder(t), 'segment.log');
  await fuzz(t, async (random) => {
    const segment = makeSegment(random, { atLeast: 1, mostBytes: random.oneIn(8) ? pieceBytes * 1.2 : 3000 });
    const {
      messages,
      first,
      records: { bytes, offsets },
    } = segment;
    await writeFile(path, bytes);
    const ends = endsOf(segment.records);
    const damages: Damage[] = [];
    const visible = 1 + random.below(messages.length);
    const places = offsets.map((offset, n) => ({ offset, position: first + n })).filter(() => random.oneIn(3));
    const file = { path, first, size: ends[visible - 1] ?? 0, places };
    const reader = await SegmentReader.open(file, (damage) => {
      damages.push(damage);
    });
    try {
      const from = random.below(visible);
      if (from > 0) await reader.skipTo(first + from);
      const read = [...(await readOn(reader))];
      assert.equal(read.length, visible - from, 'records of a segment that will grow');
      file.size = bytes.length;
      read.push(...(await readOn(reader)));
      assertRead(read, segment, range(first + from, messages.length - from));
      assert.deepEqual(damages, []);
      assert.equal(reader.offset, bytes.length);
    } finally {
      await reader.close();
    }
  });
});

t.test('a flipped bit costs the record that it is in, and is reported', async (t) => {
  const path = join(testFolder(t), 'segment.log');
  await fuzz(t, async (random) => {
    const segment = makeSegment(random, { atLeast: 1, mostBytes: random.oneIn(20) ? pieceBytes * 1.2 : 300 });
    const {
      messages,
      first,
      records: { bytes, offsets },
    } = segment;
    const ends = endsOf(segment.records);
    const struck = random.below(offsets.length);
    const [start, end] = [offsets[struck] ?? 0, ends[struck] ?? 0];
    // Most bytes of a record are body, and most of what may go wrong is in the head.
    const at = start + random.below(random.oneIn(2) ? 26 : end - start);
    const bit = 1 << random.below(8);
    bytes[at] = (bytes[at] ?? 0) ^ bit;
    await writeFile(path, bytes);
    const damages: Damage[] = [];
    const reader = await SegmentReader.open({ path, first, size: bytes.length, places: [] }, (damage) => {
      damages.push(damage);
    });
    try {
      const read = await readOn(reader);
      assertRead(
        read,
        segment,
        range(first, messages.length).filter((position) => position !== first + struck),
      );
      const isLast = struck === offsets.length - 1;
      assert.deepEqual(
        damages.map(({ to, ...damage }) => ({ ...damage, to: to ?? (isLast ? first + struck : undefined) })),
        [{ path, offset: start, bytes: end - start, from: first + struck, to: first + struck }],
      );
    } catch (cause) {
      throw new Error(
        `bit ${String(bit)} of byte ${String(at - start)} in record ${String(struck + 1)} of ${String(offsets.length)}: ${String(cause)}`,
        { cause },
      );
    } finally {
      await reader.close();
    }
  });
});
