/**
 * Where the cursors of a log on disk stand, for those beside the process that has it open: changes nothing, takes no
 * lock.
 */
import { errorCode } from '../../foundation/errors.ts';
import { spoolCorrupt } from '../spool-errors.ts';
import { cursorFilePath, loadPositions } from './cursor-file.ts';
import { scanSegment } from './recover-folder.ts';
import { planSegments } from './recovery.ts';
import { bytesAfter, findSegments, makeSegments, type Segment } from './segments.ts';

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
  const saved = await loadPositions(dir);
  if (saved.state === 'damaged') throw spoolCorrupt(cursorFilePath(dir));
  if (saved.state !== 'intact') return [];
  const segments = await listSteadily(dir);
  const last = segments.at(-1)?.last ?? 0;
  return [...saved.positions].map(([name, committed]) => ({
    name,
    records: Math.max(0, last - committed),
    bytes: bytesAfter(segments, committed),
  }));
}

async function listSteadily(dir: string): Promise<readonly Segment[]> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      const segments = makeSegments(dir, planSegments(await findSegments(dir)).segments);
      const newest = segments.at(-1);
      // What follows its last record is just being written.
      if (newest !== undefined) newest.last = (await scanSegment(newest)).last;
      return segments;
    } catch (thrown) {
      if (errorCode(thrown) !== 'ENOENT' || attempt === attempts) throw thrown;
    }
  }
}
