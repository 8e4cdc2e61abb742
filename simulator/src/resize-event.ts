/**
 * An allocation event of another size: too large, it loses members of the allocation, the largest first, but never
 * those that say which one it is and how it stands; too small, the text that describes it grows. Text is treated as
 * Latin-1, one character a byte.
 */
import { forEachMember } from '@hydrant/shared/foundation/json-scanner';

interface Member {
  readonly name: string;
  /** `"name":value`. */
  readonly text: string;
}

const kept = new Set(
  'ID Namespace Name JobID TaskGroup NodeID NodeName EvalID DesiredStatus ClientStatus CreateIndex ModifyIndex CreateTime ModifyTime'.split(
    ' ',
  ),
);
const describing = 'ClientDescription';
const filler = 'Tasks are running. ';

/** Exactly `bytes` long, unless what is kept needs more. */
export function resizeEvent(text: string, bytes: number): string {
  const event = Buffer.from(text, 'latin1');
  const place = findAllocation(event);
  if (place === undefined) return text;
  const members: Member[] = [];
  forEachMember(event, place.start, (name, start, end) => {
    if (name !== describing)
      members.push({ name, text: `${JSON.stringify(name)}:${event.toString('latin1', start, end)}` });
  });
  const around = place.start + (event.length - place.end);
  const room = bytes - around - `{"${describing}":""}`.length;
  const fitting = dropLargest(members, room);
  const padding = Math.max(0, room - lengthOf(fitting));
  const description = filler.repeat(Math.ceil(padding / filler.length)).slice(0, padding);
  const allocation = `{${fitting.map((member) => `${member.text},`).join('')}"${describing}":"${description}"}`;
  return `${text.slice(0, place.start)}${allocation}${text.slice(place.end)}`;
}

function findAllocation(event: Buffer): { readonly start: number; readonly end: number } | undefined {
  let found: { readonly start: number; readonly end: number } | undefined;
  forEachMember(event, 0, (name, payload) => {
    if (name !== 'Payload') return;
    forEachMember(event, payload, (key, start, end) => {
      if (key === 'Allocation') found = { start, end };
    });
  });
  return found;
}

function lengthOf(members: readonly Member[]): number {
  return members.reduce((sum, member) => sum + member.text.length + 1, 0);
}

function dropLargest(members: readonly Member[], room: number): readonly Member[] {
  const droppable = members.filter(({ name }) => !kept.has(name)).sort((a, b) => b.text.length - a.text.length);
  const dropped = new Set<Member>();
  for (let length = lengthOf(members); length > room && dropped.size < droppable.length;) {
    const largest = droppable[dropped.size];
    if (largest === undefined) break;
    dropped.add(largest);
    length -= largest.text.length + 1;
  }
  return members.filter((member) => !dropped.has(member));
}
