/** Which changes of jobs the list of jobs is read for. */
import type { Snapshot } from './gap/list-healer.ts';
import type { JobChange } from './nomad-firehose/job-stubs.ts';
import type { Frame } from './source/scan-frame.ts';

export function changeOfFrames(frames: readonly Frame[], before: number | undefined): JobChange | undefined {
  const changed = frames.filter(({ events }) => events.some(({ head }) => head?.topic === 'Job'));
  const [first] = changed;
  return first === undefined ? undefined : { first: first.index, last: changed.at(-1)?.index ?? first.index, before };
}

/** Their list stubs are told of as if the stream had shown them. */
export function changeOfSnapshots(
  snapshots: readonly Snapshot[],
  since: number,
  before: number | undefined,
): JobChange | undefined {
  let last = since;
  for (const { list, modifyIndex } of snapshots) if (list.topic === 'Job') last = Math.max(last, modifyIndex);
  return last === since ? undefined : { first: since + 1, last, before };
}
