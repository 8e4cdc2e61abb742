/** Reads a log as it lies on the disk, asks recovery.ts what is to be done, and does it. */
import { open, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { toError } from '../../foundation/errors.ts';
import type { Logger } from '../../runtime/telemetry/logger.ts';
import { syncFolder } from './atomic-file.ts';
import { cursorFilePath, loadPositions } from './cursor-file.ts';
import { planRecovery, planSegments, type RecoveryPlan, type ScannedSegment } from './recovery.ts';
import { SegmentReader } from './segment-reader.ts';
import { findSegments, makeSegments, segmentName, type Segment } from './segments.ts';
import { copyAside, moveAside } from './set-aside.ts';

export interface RecoveredLog extends Pick<RecoveryPlan, 'next' | 'cursors' | 'beginsAtOldest'> {
  readonly segments: readonly Segment[];
}

/** The folder must be locked. Throws what the file system throws. */
export async function recoverFolder(dir: string, log: Logger): Promise<RecoveredLog> {
  const segments = makeSegments(dir, await putSegmentsInOrder(dir, log));
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
  let { next } = plan;
  if (newest !== undefined && scanned !== undefined) {
    newest.last = scanned.last;
    newest.size = scanned.end;
    const isCut = plan.tail === undefined || (await settleTail(dir, newest, plan.tail, log));
    // n.b. a new segment must not take the name of one that is left as it is, and a position that is missing says that
    // something is.
    if (!isCut) next = Math.max(next, newest.last + 2);
  }
  return { segments, next, cursors: plan.cursors, beginsAtOldest: plan.beginsAtOldest };
}

async function putSegmentsInOrder(dir: string, log: Logger): Promise<ReturnType<typeof planSegments>['segments']> {
  const plan = planSegments(await findSegments(dir));
  for (const name of plan.setAside)
    log.warn(
      { file: join(dir, name), setAside: await moveAside(dir, name) },
      'A copy of another segment was set aside',
    );
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
  return plan.segments;
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
 * Copies the tail aside and cuts it off. False: it is left where it is, since it is known to hold records, or cannot be
 * copied.
 */
async function settleTail(
  dir: string,
  segment: Segment,
  { bytes, isProvenRecords }: NonNullable<RecoveryPlan['tail']>,
  log: Logger,
): Promise<boolean> {
  const place = { file: segment.path, offset: segment.size, bytes, kept: segment.last };
  try {
    const setAside = await copyAside(dir, segment.path, segment.size, bytes);
    if (isProvenRecords) {
      log.error({ ...place, setAside }, 'Records at the end of the log are damaged');
      return false;
    }
    log.warn(
      { ...place, setAside },
      'The end of the log is no whole record, most likely a write that a crash left unfinished: it was set aside',
    );
  } catch (thrown) {
    log.warn(
      { ...place, err: toError(thrown) },
      'The end of the log is no whole record, and could not be set aside: it stays where it is',
    );
    return false;
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
