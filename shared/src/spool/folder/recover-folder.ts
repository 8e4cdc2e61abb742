/** Reads a log as it lies on the disk, asks recovery.ts what is to be done, and does it. */
import { open, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { toError } from '../../foundation/errors.ts';
import type { Logger } from '../../runtime/telemetry/logger.ts';
import { syncFolder } from './atomic-file.ts';
import { cursorFilePath, loadPositions } from './cursor-file.ts';
import { readHead, recordHeadBytes } from './record-codec.ts';
import {
  groupCopies,
  planRecovery,
  planSegments,
  type FoundSegment,
  type RecoveryPlan,
  type ScannedSegment,
} from './recovery.ts';
import { SegmentReader } from './segment-reader.ts';
import { findSegments, makeSegments, segmentName, type Segment } from './segments.ts';
import type { SetAside } from './set-aside.ts';

export interface RecoveredLog extends Pick<RecoveryPlan, 'next' | 'cursors' | 'beginsAtOldest'> {
  readonly segments: readonly Segment[];
}

export interface RecoveryPorts {
  readonly setAside: SetAside;
  readonly log: Logger;
}

/** The folder must be locked. Throws what the file system throws. */
export async function recoverFolder(dir: string, ports: RecoveryPorts): Promise<RecoveredLog> {
  const { log } = ports;
  const segments = makeSegments(dir, await putSegmentsInOrder(dir, ports));
  const newest = segments.at(-1);
  const scanned = newest === undefined ? undefined : await scanSegment(newest);
  const saved = await loadPositions(dir);
  const plan = planRecovery(segments[0]?.first ?? (saved.state === 'intact' ? saved.last + 1 : 1), scanned, saved);

  if (plan.beginsAtOldest) {
    log.error(
      { file: cursorFilePath(dir), state: saved.state, from: segments[0]?.first },
      'Positions of the cursors are lost: each begins at the oldest record, and what was delivered before is delivered again',
    );
  }
  for (const { from, to, cursors } of plan.lost)
    log.error({ dir, from, to, cursors }, 'Records are missing from the log: segments were removed, or are damaged');
  // n.b. an open log always has a segment: how many records were in those that are gone, an old file of cursors cannot
  // tell.
  if (newest === undefined && saved.state !== 'absent' && plan.lost.length === 0)
    log.error(
      { dir, next: plan.next },
      'Every segment of the log is missing: what was in them and was not delivered is lost',
    );
  let { next } = plan;
  if (newest !== undefined && scanned !== undefined) {
    newest.last = scanned.last;
    newest.size = scanned.end;
    const isCut = plan.tail === undefined || (await settleTail(newest, plan.tail, ports));
    // n.b. a new segment must not take the name of one that is left as it is, and a position that is missing says that
    // something is.
    if (!isCut) next = Math.max(next, newest.last + 2);
  }
  return { segments, next, cursors: plan.cursors, beginsAtOldest: plan.beginsAtOldest };
}

async function putSegmentsInOrder(
  dir: string,
  { setAside, log }: RecoveryPorts,
): Promise<ReturnType<typeof planSegments>['segments']> {
  const plan = planSegments(await countCopies(dir, await findSegments(dir)));
  for (const name of plan.setAside)
    log.warn({ file: join(dir, name), setAside: await setAside.move(name) }, 'A copy of another segment was set aside');
  // n.b. one may have the name of another that is misnamed as well: all of them give theirs up first. After a crash in
  // between, the next start knows them by their records again.
  const parked = plan.rename.map((one, n) => ({
    ...one,
    parkedAs: join(dir, segmentName(Number.MAX_SAFE_INTEGER - n)),
  }));
  for (const { name, parkedAs } of parked) await rename(join(dir, name), parkedAs);
  for (const { name, first, parkedAs } of parked) {
    await rename(parkedAs, join(dir, segmentName(first)));
    log.warn(
      { file: join(dir, name), renamed: segmentName(first) },
      'A segment had the wrong name and was given its own',
    );
  }
  if (parked.length > 0) await syncFolder(dir);
  return plan.segments.map((one) => ({ ...one, name: segmentName(one.first) }));
}

/** Where several files begin with the same record: a copy may be whole where the original is damaged. */
async function countCopies(dir: string, found: readonly FoundSegment[]): Promise<readonly FoundSegment[]> {
  const counted: FoundSegment[] = [];
  for (const [first, copies] of groupCopies(found)) {
    for (const one of copies)
      counted.push(
        copies.length === 1
          ? one
          : { ...one, intact: await countIntact({ path: join(dir, one.name), first, size: one.size, places: [] }) },
      );
  }
  return counted;
}

async function countIntact(segment: Pick<Segment, 'path' | 'first' | 'size' | 'places'>): Promise<number> {
  let intact = 0;
  const reader = await SegmentReader.open(segment, () => undefined);
  try {
    while (await reader.load()) if (reader.take() !== undefined) intact += 1;
  } finally {
    await reader.close();
  }
  return intact;
}

/** Reads all of its records. What is damaged between them stays where it is: a cursor that comes by reports it. */
export async function scanSegment(segment: Segment): Promise<ScannedSegment> {
  let { last } = segment;
  let end = 0;
  const reader = await SegmentReader.open(segment, () => undefined);
  try {
    while (await reader.load()) {
      const record = reader.take();
      if (record === undefined) continue;
      last = record.position;
      end = reader.offset;
    }
  } finally {
    await reader.close();
  }
  return { first: segment.first, last, end, size: segment.size };
}

/**
 * Copies the tail aside and cuts it off. False: it is left where it is, since it is known to hold records, or may hold
 * some and cannot be copied. On a full disk the unfinished beginning of a record is cut off without a copy: nobody
 * could make a record of it, and left there it would be told as a loss.
 */
async function settleTail(
  segment: Segment,
  { bytes, isProvenRecords }: NonNullable<RecoveryPlan['tail']>,
  { setAside: aside, log }: RecoveryPorts,
): Promise<boolean> {
  const place = { file: segment.path, offset: segment.size, bytes, kept: segment.last };
  try {
    const setAside = await aside.copy(segment.path, segment.size, bytes);
    if (isProvenRecords) {
      log.error({ ...place, setAside }, 'Records at the end of the log are damaged');
      return false;
    }
    log.warn(
      { ...place, setAside },
      'The end of the log is no whole record, most likely a write that a crash left unfinished: it was set aside',
    );
  } catch (thrown) {
    if (isProvenRecords || !(await isUnfinished(segment, bytes))) {
      log.warn(
        { ...place, err: toError(thrown) },
        'The end of the log is no whole record, and could not be set aside: it stays where it is',
      );
      return false;
    }
    log.warn(
      { ...place, err: toError(thrown) },
      'The end of the log is an unfinished record, and could not be set aside: it is cut off',
    );
  }
  const handle = await open(segment.path, 'r+');
  try {
    await handle.truncate(segment.size);
    await handle.sync();
  } finally {
    await handle.close();
  }
  return true;
}

/** True when the `bytes` behind the last record are the beginning of the next one and no more. */
async function isUnfinished({ path, size, last }: Segment, bytes: number): Promise<boolean> {
  const handle = await open(path, 'r');
  try {
    const { buffer } = await handle.read(Buffer.alloc(recordHeadBytes), 0, recordHeadBytes, size);
    const head = readHead(buffer, 0);
    return bytes < recordHeadBytes || (head !== undefined && head.position === last + 1 && head.size > bytes);
  } finally {
    await handle.close();
  }
}
