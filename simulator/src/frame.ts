/**
 * A frame is one line of the event stream (without its newline) and where its events lie in it. Events are selected by
 * their bytes and never written anew, so what a subscription gets is what was recorded.
 */
import { forEachElement, forEachMember } from '@hydrant/shared/foundation/json-scanner';

export interface FrameEvent {
  readonly topic: string;
  readonly key: string;
  readonly namespace: string;
  readonly filterKeys: readonly string[];
  /** Extent of the event in the frame's line. */
  readonly start: number;
  readonly end: number;
}

export interface Frame {
  readonly index: number;
  readonly line: Buffer;
  readonly events: readonly FrameEvent[];
}

interface RecordedHead {
  readonly Topic: string;
  readonly Key: string;
  readonly Namespace: string;
  readonly FilterKeys: readonly string[] | null;
}

/** Reads a recorded line; undefined for a heartbeat. */
export function readFrame(line: Buffer): Frame | undefined {
  const events: FrameEvent[] = [];
  let index: number | undefined;
  forEachMember(line, 0, (key, start, end) => {
    if (key === 'Index') index = Number(line.toString('latin1', start, end));
    if (key !== 'Events') return;
    forEachElement(line, start, (from, to) => {
      events.push(readEvent(line, from, to));
    });
  });
  return index === undefined ? undefined : { index, line, events };
}

function readEvent(line: Buffer, start: number, end: number): FrameEvent {
  const head = JSON.parse(line.toString('utf8', start, end)) as RecordedHead;
  return { topic: head.Topic, key: head.Key, namespace: head.Namespace, filterKeys: head.FilterKeys ?? [], start, end };
}

/**
 * The frame's line with these events only (an event may be named twice); everything around the events stays as it is.
 */
export function selectLine(frame: Frame, selected: readonly FrameEvent[]): Buffer {
  if (isWhole(frame, selected)) return frame.line;
  const first = frame.events[0];
  const last = frame.events.at(-1);
  if (first === undefined || last === undefined) return frame.line;
  const parts: Buffer[] = [frame.line.subarray(0, first.start)];
  for (const [position, event] of selected.entries()) {
    if (position > 0) parts.push(Buffer.from(','));
    parts.push(frame.line.subarray(event.start, event.end));
  }
  parts.push(frame.line.subarray(last.end));
  return Buffer.concat(parts);
}

function isWhole(frame: Frame, selected: readonly FrameEvent[]): boolean {
  return (
    selected.length === frame.events.length && selected.every((event, position) => event === frame.events[position])
  );
}
