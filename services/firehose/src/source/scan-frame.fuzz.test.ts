/**
 * Compares what is found in frames with what JSON.parse finds: events in any spelling, odd ones among them, and frames
 * that were damaged on their way.
 */
import assert from 'node:assert/strict';
import { errorCode } from '@hydrant/shared/foundation/errors';
import type { EventHead } from '@hydrant/shared/messages/nomad-event';
import { fuzz, type Random } from '@hydrant/testing/fuzz';
import { damageJson, makeBlank, makeJson, makeJsonString } from '@hydrant/testing/random-json';
import t from 'tap';
import { scanFrame, type Frame } from './scan-frame.ts';

const refusals = new Set(['json-malformed', 'frame-malformed', 'event-malformed']);
const jobTopics = ['Allocation', 'Evaluation', 'Deployment', 'Service'];
const good = '{"Topic":"Node","Type":"NodeEvent","Key":"n","Namespace":"","FilterKeys":null,"Index":7,"Payload":null}';

interface Written {
  readonly text: string;
  readonly head: EventHead | undefined;
}

/** The key, or the same one with a letter of it as an escape. */
function spellKey(random: Random, key: string): string {
  const at = random.below(key.length);
  return random.oneIn(4)
    ? `"${key.slice(0, at)}\\u00${key.charCodeAt(at).toString(16)}${key.slice(at + 1)}"`
    : `"${key}"`;
}

/** Members in any order, with white space around all of them. */
function makeObject(random: Random, members: readonly (readonly [string, string])[]): string {
  const blank = (): string => makeBlank(random);
  const ordered = members
    .map((member) => ({ member, order: random.below(1000) }))
    .sort((one, other) => one.order - other.order);
  return `{${blank()}${ordered.map(({ member: [key, value] }) => `${blank()}${spellKey(random, key)}${blank()}:${blank()}${value}${blank()}`).join(',')}}`;
}

function makePayload(random: Random, topic: string): string {
  if (random.oneIn(4)) return makeJson(random, 3);
  const object = makeObject(random, [
    ['JobID', random.oneIn(4) ? makeJson(random, 2) : makeJsonString(random)],
    ['ID', makeJsonString(random)],
    ['Nested', makeObject(random, [['JobID', '"another"']])],
  ]);
  return makeObject(random, [
    [random.oneIn(8) ? 'Odd' : topic, object],
    ['Also', makeJson(random, 2)],
  ]);
}

function readText(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function findJobId(topic: string, { Key, FilterKeys, Payload }: Readonly<Record<string, unknown>>): string | undefined {
  if (topic === 'Job') return readText(Key) ?? '';
  if (!jobTopics.includes(topic)) return undefined;
  const first: unknown = Array.isArray(FilterKeys) ? FilterKeys.find((each) => typeof each === 'string') : undefined;
  if (typeof first === 'string' && first !== '') return first;
  const object = isRecord(Payload) ? Payload[topic] : undefined;
  return isRecord(object) ? readText(object['JobID']) : undefined;
}

/** What the head is by JSON.parse; `index` as it is written, of which JSON.parse would lose digits. */
function expectHead(text: string, index: string): EventHead | undefined {
  const event = JSON.parse(text) as Readonly<Record<string, unknown>>;
  const [topic, type] = [readText(event['Topic']), readText(event['Type'])];
  if (topic === undefined || type === undefined || !/^\d+$/u.test(index) || !Number.isSafeInteger(Number(index)))
    return undefined;
  const filterKeys = Array.isArray(event['FilterKeys'])
    ? event['FilterKeys'].filter((each): each is string => typeof each === 'string')
    : [];
  const jobId = findJobId(topic, event);
  const head = {
    topic,
    type,
    key: readText(event['Key']) ?? '',
    namespace: readText(event['Namespace']) ?? '',
    filterKeys,
    index: Number(index),
  };
  return jobId === undefined ? head : { ...head, jobId };
}

function makeEvent(random: Random): Written {
  const { oneIn, pick } = random;
  if (oneIn(8)) {
    const text = makeJson(random, 2);
    return { text, head: isRecord(JSON.parse(text)) ? expectHead(text, '') : undefined };
  }
  const topic = oneIn(8) ? 'FromTheFuture' : pick(['Job', 'Node', ...jobTopics]);
  const index = oneIn(8)
    ? pick(['-1', '1.0', '1e3', '9007199254740993', '"7"', 'null', '[]', '0'])
    : String(random.below(2 ** 31));
  const member = (key: string, usual: string): readonly (readonly [string, string])[] =>
    oneIn(20) ? [] : [[key, oneIn(20) ? makeJson(random, 2) : usual]];
  const text = makeObject(random, [
    ...member('Topic', `"${topic}"`),
    ...member('Type', makeJsonString(random)),
    ...member('Key', makeJsonString(random)),
    ...member('Namespace', makeJsonString(random)),
    ...member(
      'FilterKeys',
      pick(['null', '[]', '[""]', '[ 1 , "web" ]', `[${makeJsonString(random)},${makeJsonString(random)}]`]),
    ),
    ['Index', index],
    ...member('Payload', makePayload(random, topic)),
    ...member('Odd', makeJson(random, 2)),
  ]);
  return { text, head: expectHead(text, index) };
}

function makeFrame(random: Random, events: readonly Written[], index: number): string {
  const list = `[${makeBlank(random)}${events.map(({ text }) => `${makeBlank(random)}${text}${makeBlank(random)}`).join(',')}]`;
  return `${makeBlank(random)}${makeObject(random, [['Index', String(index)], ['Events', list], ...(random.oneIn(4) ? [['Odd', makeJson(random, 3)] as const] : [])])}${makeBlank(random)}`;
}

/** Undefined: refused, in a way that is documented. */
function scan(line: Buffer): Frame | 'heartbeat' | undefined {
  try {
    return scanFrame(line);
  } catch (thrown) {
    if (!refusals.has(errorCode(thrown) ?? '')) throw thrown;
    return undefined;
  }
}

function showEvents({ line, events }: Frame): readonly string[] {
  return events.map(({ start, end }) => line.toString('utf8', start, end));
}

t.test('a frame has the events that JSON.parse finds in it, with their heads', async (t) => {
  await fuzz(t, (random) => {
    const events = Array.from({ length: random.below(5) }, () => makeEvent(random));
    const index = random.below(2 ** 31);
    const text = makeFrame(random, events, index);
    try {
      const frame = scan(Buffer.from(text));
      assert.ok(frame !== undefined && frame !== 'heartbeat', 'it was taken for no frame');
      assert.equal(frame.index, index);
      assert.deepEqual(
        showEvents(frame),
        events.map((event) => event.text),
      );
      assert.deepEqual(
        frame.events.map(({ head }) => head),
        events.map(({ head }) => head),
      );
    } catch (cause) {
      throw new Error(`${String(cause)} in ${JSON.stringify(text)}`, { cause });
    }
  });
});

t.test(
  'a damaged frame is refused, or all its events are values, and those that follow one another in it',
  async (t) => {
    let taken = 0;
    await fuzz(t, (random) => {
      const line = damageJson(
        random,
        Buffer.from(makeFrame(random, [{ text: good, head: undefined }, makeEvent(random)], 7)),
      );
      const frame = scan(line);
      const text = line.toString('latin1');
      if (frame === undefined) return;
      taken += 1;
      const parsed = JSON.parse(text) as Readonly<Record<string, unknown>>;
      if (frame === 'heartbeat') {
        assert.deepEqual(parsed, {}, text);
        return;
      }
      const events = frame.events.map(({ start, end }) => JSON.parse(line.toString('latin1', start, end)) as unknown);
      assert.ok(Array.isArray(parsed['Events']) && typeof parsed['Index'] === 'number', text);
      assert.deepEqual(
        { index: frame.index, events },
        { index: parsed['Index'], events: parsed['Events'] as unknown },
        text,
      );
    });
    t.ok(taken > 0, `${String(taken)} were taken all the same`);
  },
);
