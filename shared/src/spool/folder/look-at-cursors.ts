/** Where the cursors of a log on disk stand, for those beside the process that has it open: changes nothing, takes no lock. */
import { errorCode } from '../../foundation/errors.ts';
import { loadPositions } from './cursor-file.ts';
import { SegmentReader } from './segment-reader.ts';
import { bytesAfter, listSegments, type Segment } from './segments.ts';

export interface CursorState {
  readonly name: string;
  /** Records of the log that are not done with. */
  readonly records: number;
  readonly bytes: number;
}

/** How often the other process may remove a segment while this one looks. */
const attempts = 5;

/** Empty when there is no log yet. Throws `spool-corrupt` for a file of cursors that is none. */
export async function lookAtCursors(dir: string): Promise<readonly CursorState[]> {
  const positions = await loadPositions(dir);
  const segments = positions.size === 0 ? [] : await listSteadily(dir);
  const last = segments.at(-1)?.last ?? 0;
  return [...positions].map(([name, committed]) => ({ name, records: Math.max(0, last - committed), bytes: bytesAfter(segments, committed) }));
}

async function listSteadily(dir: string): Promise<readonly Segment[]> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      const segments = await listSegments(dir);
      const newest = segments.at(-1);
      if (newest !== undefined) newest.last = await findLast(newest);
      return segments;
    } catch (thrown) {
      if (errorCode(thrown) !== 'ENOENT' || attempt === attempts) throw thrown;
    }
  }
}

async function findLast(segment: Segment): Promise<number> {
  const reader = await SegmentReader.open(segment);
  try {
    await reader.skipTo(Infinity);
  } catch (thrown) {
    // The record that is just being written.
    if (errorCode(thrown) !== 'spool-corrupt') throw thrown;
  } finally {
    await reader.close();
  }
  return reader.position - 1;
}
