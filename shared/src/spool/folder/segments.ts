/** The files of the log, oldest first: `<position of the first record>.log`, one being written, the others complete. */
import { open, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { syncFolder } from './atomic-file.ts';
import { readHead, recordHeadBytes } from './record-codec.ts';
import type { FoundSegment } from './recovery.ts';
import type { Place } from './segment-reader.ts';

export interface Segment {
  readonly path: string;
  /** Position of its first record. */
  readonly first: number;
  /** Position of its last record; `first - 1` when it has none. */
  last: number;
  /** Bytes of records that are kept; a reader looks no further. */
  size: number;
  /** Known beginnings of records, about one a mebibyte, so that a reader need not walk the whole file. */
  readonly places: Place[];
}

const placeEveryBytes = 1024 * 1024;
const nameDigits = 16;

export function segmentName(first: number): string {
  return `${String(first).padStart(nameDigits, '0')}.log`;
}

export function makeSegment(dir: string, first: number): Segment {
  return { path: join(dir, segmentName(first)), first, last: first - 1, size: 0, places: [] };
}

/** Remembers, now and then, that the record of that position is going to be the next of the segment. */
export function markPlace(segment: Segment, position: number): void {
  if (segment.size - (segment.places.at(-1)?.offset ?? 0) >= placeEveryBytes)
    segment.places.push({ position, offset: segment.size });
}

/** The segments that lie in the folder, by name, and the position that the first record of each says that it has. */
export async function findSegments(dir: string): Promise<FoundSegment[]> {
  const names = (await readdir(dir)).filter((name) => /^\d{16}\.log$/u.test(name)).sort();
  const found: FoundSegment[] = [];
  for (const name of names) {
    const path = join(dir, name);
    const { size } = await stat(path);
    found.push({ name, first: Number(name.slice(0, nameDigits)), size, firstRecord: await readFirstPosition(path) });
  }
  return found;
}

/** Undefined when no intact record begins the file. */
async function readFirstPosition(path: string): Promise<number | undefined> {
  const handle = await open(path, 'r');
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(recordHeadBytes), 0, recordHeadBytes, 0);
    return readHead(buffer.subarray(0, bytesRead), 0)?.position;
  } finally {
    await handle.close();
  }
}

/** As they are to be read; the records of the last one are not counted yet. */
export function makeSegments(dir: string, found: readonly Pick<FoundSegment, 'name' | 'first' | 'size'>[]): Segment[] {
  const segments: Segment[] = [];
  for (const { name, first, size } of found) {
    const segment: Segment = { ...makeSegment(dir, first), path: join(dir, name), size };
    const previous = segments.at(-1);
    if (previous !== undefined) previous.last = first - 1;
    segments.push(segment);
  }
  return segments;
}

/** Bytes of the records after `position`. Within a segment they are taken to be of equal size. */
export function bytesAfter(segments: readonly Segment[], position: number): number {
  let bytes = 0;
  for (const { first, last, size } of segments) {
    const records = last - first + 1;
    if (records > 0) bytes += size * Math.min(1, Math.max(0, last - position) / records);
  }
  return Math.round(bytes);
}

export async function removeSegment(dir: string, segment: Segment): Promise<void> {
  await rm(segment.path, { force: true });
  await syncFolder(dir);
}
