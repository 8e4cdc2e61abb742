/** What one line of the stream is: a heartbeat, or a frame with its events found but not built. */
import { errorCode, HydrantError } from '@hydrant/shared/foundation/errors';
import { skipSpace, skipValue, walkArray, walkObject } from '@hydrant/shared/foundation/json-scanner';
import { readIndex, scanEvent, type EventHead } from '@hydrant/shared/messages/nomad-event';

export interface FrameEvent {
  /** The event's bytes are `line.subarray(start, end)`. */
  readonly start: number;
  readonly end: number;
  /** Undefined when it is no object or lacks Topic, Type or Index; it is forwarded all the same. */
  readonly head: EventHead | undefined;
}

export interface Frame {
  readonly index: number;
  readonly line: Buffer;
  readonly events: readonly FrameEvent[];
}

function scanFrameEvent(line: Buffer, start: number): FrameEvent {
  if (line[start] !== 0x7b) return { start, end: skipValue(line, start), head: undefined };
  try {
    const { head, end } = scanEvent(line, start);
    return { start, end, head };
  } catch (thrown) {
    if (errorCode(thrown) !== 'event-malformed') throw thrown;
    return { start, end: skipValue(line, start), head: undefined };
  }
}

function scanEvents(line: Buffer, at: number): { events: FrameEvent[]; end: number } {
  const events: FrameEvent[] = [];
  const end = walkArray(line, at, (start) => {
    const event = scanFrameEvent(line, start);
    events.push(event);
    return event.end;
  });
  return { events, end };
}

/** `line` without its newline. Throws `json-malformed`, or `frame-malformed` when it is JSON but no frame. */
export function scanFrame(line: Buffer): Frame | 'heartbeat' {
  let index: number | undefined;
  let events: FrameEvent[] | undefined;
  let members = 0;
  const end = walkObject(line, 0, (key, at) => {
    members += 1;
    if (key === 'Events' && line[at] === 0x5b) {
      const scanned = scanEvents(line, at);
      events = scanned.events;
      return scanned.end;
    }
    const after = skipValue(line, at);
    if (key === 'Index') index = readIndex(line, at, after);
    return after;
  });
  if (skipSpace(line, end) < line.length) {
    throw new HydrantError(`Expected nothing after the object that ends at ${String(end)}`, {
      code: 'json-malformed',
      retryable: false,
    });
  }
  if (members === 0) return 'heartbeat';
  if (index === undefined || events === undefined) {
    throw new HydrantError('Expected a frame to be an object with a number as Index and a list as Events', {
      code: 'frame-malformed',
      retryable: false,
    });
  }
  return { index, line, events };
}
