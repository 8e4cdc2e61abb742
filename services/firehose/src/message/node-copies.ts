/**
 * Tells the Node events that bring no change of the node: copies of it that ride along when a client reports on its
 * allocations.
 */
import { readIndex, type EventHead } from '@hydrant/shared/messages/nomad-event';
import { errorCode } from '@hydrant/shared/foundation/errors';
import { forEachMember, skipValue, walkObject } from '@hydrant/shared/foundation/json-scanner';
import type { FrameEvent } from '../source/scan-frame.ts';

/** n.b. a node's own events, such as a driver that became unhealthy, do not move its ModifyIndex. */
const typeOfNodeEvents = 'NodeStreamEvent';

/** Goes into the object at `at` when it stands under `key`; otherwise past the value. */
function within(bytes: Buffer, key: string, walk: (at: number) => number): (key: string, at: number) => number {
  return (name, at) => (name === key && bytes[at] === 0x7b ? walk(at) : skipValue(bytes, at));
}

function isChangedBefore(line: Buffer, start: number, { index }: EventHead): boolean {
  let modifyIndex = index;
  const readNode = (at: number): number =>
    forEachMember(line, at, (key, from, to) => {
      if (key === 'ModifyIndex') modifyIndex = readIndex(line, from, to);
    });
  walkObject(
    line,
    start,
    within(line, 'Payload', (payload) => walkObject(line, payload, within(line, 'Node', readNode))),
  );
  return modifyIndex < index;
}

/** False for whatever is not a Node event with a ModifyIndex that says so. The event's bytes were scanned before. */
export function isNodeCopy(line: Buffer, { start, head }: FrameEvent): boolean {
  if (head?.topic !== 'Node' || head.type === typeOfNodeEvents) return false;
  try {
    return isChangedBefore(line, start, head);
  } catch (thrown) {
    if (errorCode(thrown) !== 'event-malformed') throw thrown;
    return false;
  }
}
