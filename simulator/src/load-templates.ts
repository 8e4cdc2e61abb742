/**
 * The recording's allocation events as templates: copied with another allocation id and index by writing digits over
 * digits, so that one core makes many times what a reader can take.
 */
import type { Frame, FrameEvent } from './frame.ts';
import { readFrame } from './frame.ts';
import { resizeEvent } from './resize-event.ts';
import { rewriteBytes, type Rewrite } from './rewrite.ts';

export interface LoadTemplate {
  readonly bytes: Buffer;
  readonly head: Omit<FrameEvent, 'start' | 'end'>;
  /** Where the allocation's id begins. */
  readonly idOffsets: readonly number[];
  /** Where an index begins that is to be the frame's. */
  readonly indexOffsets: readonly number[];
}

export interface LoadTemplates {
  readonly asRecorded: readonly LoadTemplate[];
  /** The same without anything that tells of a crash. */
  readonly calm: readonly LoadTemplate[];
}

const ID_LENGTH = 36;
/** The id's last group is a number of its own for each event; the rest tells runs apart. */
const COUNTER_DIGITS = 12;
const HEX = Buffer.from('0123456789abcdef');
const ZERO = 0x30;
const OPENING = Buffer.from('{"Events":[');
const COMMA = 0x2c;

/** Templates for indexes of `indexDigits` digits; of `eventBytes` or, without it, as large as recorded. */
export function makeLoadTemplates(
  frames: readonly Frame[],
  rewrite: Rewrite,
  indexDigits: number,
  eventBytes?: number,
): LoadTemplates {
  const resize = (text: string): string => (eventBytes === undefined ? text : resizeEvent(text, eventBytes));
  const asRecorded: LoadTemplate[] = [];
  const calm: LoadTemplate[] = [];
  for (const recorded of frames) {
    const frame = readFrame(rewriteBytes(recorded.line, rewrite));
    for (const event of frame?.events ?? []) {
      if (frame === undefined || event.topic !== 'Allocation' || event.key.length !== ID_LENGTH) continue;
      asRecorded.push(makeTemplate(frame, event, indexDigits, resize));
      calm.push(makeTemplate(frame, event, indexDigits, (text) => withoutCrashes(resize(text))));
    }
  }
  return { asRecorded, calm };
}

/** The same event, and nearly as long, of a task that did not crash. */
function withoutCrashes(text: string): string {
  return text
    .replaceAll('"Type":"Restarting"', '"Type":"Signaling"')
    .replaceAll('"Type":"Not Restarting"', '"Type":"Task hook message"')
    .replaceAll('"Failed":true', '"Failed":false');
}

function makeTemplate(
  frame: Frame,
  event: FrameEvent,
  indexDigits: number,
  edit: (text: string) => string,
): LoadTemplate {
  const own = new RegExp(`(?<!\\\\)"(Index|ModifyIndex)":${String(frame.index)}\\b`, 'g');
  const text = edit(frame.line.toString('latin1', event.start, event.end)).replace(
    own,
    (_, name: string) => `"${name}":${'0'.repeat(indexDigits)}`,
  );
  const placeholder = new RegExp(`"(?:Index|ModifyIndex)":(?=0{${String(indexDigits)}}\\b)`, 'g');
  const { topic, key, namespace, filterKeys } = event;
  return {
    bytes: Buffer.from(text, 'latin1'),
    head: { topic, key, namespace, filterKeys },
    idOffsets: [...text.matchAll(new RegExp(event.key, 'g'))].map((match) => match.index),
    indexOffsets: [...text.matchAll(placeholder)].map((match) => match.index + match[0].length),
  };
}

export interface LoadFrameRequest {
  readonly index: number;
  /** Number of the first event since the start; each event's id is made of its number. */
  readonly firstEvent: number;
  readonly events: number;
  /** Ids come again after so many events; default: never. */
  readonly allocations?: number;
  /** Of a hundred allocations in a row, the first so many are as recorded, the others calm. */
  readonly crashPercent: number;
  readonly runId: Buffer;
}

/** One frame with the templates in turn. */
export function makeLoadFrame(templates: LoadTemplates, request: LoadFrameRequest): Frame {
  const closing = Buffer.from(`],"Index":${String(request.index)}}`);
  const chosen: LoadTemplate[] = [];
  let size = OPENING.length + closing.length + request.events - 1;
  for (let event = request.firstEvent; event < request.firstEvent + request.events; event += 1) {
    const number = allocationOf(event, request);
    const list = number % 100 < request.crashPercent ? templates.asRecorded : templates.calm;
    const template = list[number % list.length];
    if (template === undefined) break;
    chosen.push(template);
    size += template.bytes.length;
  }
  const line = Buffer.allocUnsafe(size);
  const events: FrameEvent[] = [];
  let at = OPENING.copy(line);
  for (const [position, template] of chosen.entries()) {
    if (position > 0) line[at++] = COMMA;
    template.bytes.copy(line, at);
    patch(line, at, template, request, allocationOf(request.firstEvent + position, request));
    const end = at + template.bytes.length;
    const keyAt = at + (template.idOffsets[0] ?? 0);
    const key = line.toString('latin1', keyAt, keyAt + ID_LENGTH);
    events.push({ ...template.head, key, start: at, end });
    at = end;
  }
  closing.copy(line, at);
  return { index: request.index, line, events };
}

/** The number of the allocation that an event tells of. */
function allocationOf(event: number, { allocations = Infinity }: LoadFrameRequest): number {
  return event % allocations;
}

function patch(line: Buffer, at: number, template: LoadTemplate, request: LoadFrameRequest, number: number): void {
  for (const offset of template.idOffsets) {
    request.runId.copy(line, at + offset);
    writeHex(line, at + offset + ID_LENGTH - COUNTER_DIGITS, number);
  }
  for (const offset of template.indexOffsets) writeDecimal(line, at + offset, request.index);
}

function writeHex(line: Buffer, at: number, number: number): void {
  let rest = number;
  for (let place = at + COUNTER_DIGITS - 1; place >= at; place -= 1) {
    line[place] = HEX[rest % 16] ?? ZERO;
    rest = Math.floor(rest / 16);
  }
}

/** Over as many digits as the number has: templates are made for that width. */
function writeDecimal(line: Buffer, at: number, number: number): void {
  const digits = String(number).length;
  let rest = number;
  for (let place = at + digits - 1; place >= at; place -= 1) {
    line[place] = ZERO + (rest % 10);
    rest = Math.floor(rest / 10);
  }
}
