/** The files of the log, oldest first: `<position of the first record>.log`, one being written, the others complete. */
import { open, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { errorCode } from '../../foundation/errors.ts';
import { syncFolder } from './atomic-file.ts';
import { SegmentReader, type Place } from './segment-reader.ts';

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

export function makeSegment(dir: string, first: number): Segment {
  return { path: join(dir, `${String(first).padStart(nameDigits, '0')}.log`), first, last: first - 1, size: 0, places: [] };
}

/** Remembers, now and then, that the record of that position is going to be the next of the segment. */
export function markPlace(segment: Segment, position: number): void {
  if (segment.size - (segment.places.at(-1)?.offset ?? 0) >= placeEveryBytes) segment.places.push({ position, offset: segment.size });
}

/** The segments as the folder has them; the records of the last one are not counted yet. */
export async function listSegments(dir: string): Promise<Segment[]> {
  const names = (await readdir(dir)).filter((name) => /^\d{16}\.log$/.test(name)).sort();
  const segments: Segment[] = [];
  for (const name of names) {
    const segment = makeSegment(dir, Number(name.slice(0, nameDigits)));
    segment.size = (await stat(segment.path)).size;
    const previous = segments.at(-1);
    if (previous !== undefined) previous.last = segment.first - 1;
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

/**
 * Counts the records of the last segment and cuts off what a crash left unfinished at its end. Returns the bytes cut off.
 * A damaged record with an intact one after it is not a torn tail: that throws `spool-corrupt` and changes nothing.
 */
export async function recoverLast(segment: Segment): Promise<number> {
  const fileSize = segment.size;
  const reader = await SegmentReader.open(segment);
  try {
    while (await reader.load()) {
      reader.take();
      segment.last += 1;
    }
  } catch (thrown) {
    if (errorCode(thrown) !== 'spool-corrupt' || await reader.hasIntactSuccessor()) throw thrown;
  } finally {
    await reader.close();
  }

  segment.size = reader.offset;
  if (segment.size === fileSize) return 0;
  const handle = await open(segment.path, 'r+');
  try {
    await handle.truncate(segment.size);
    await handle.sync();
  } finally {
    await handle.close();
  }
  return fileSize - segment.size;
}

export async function removeSegment(dir: string, segment: Segment): Promise<void> {
  await rm(segment.path, { force: true });
  await syncFolder(dir);
}
