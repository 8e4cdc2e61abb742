import { readRecording } from '@hydrant/testing/recordings';
import t from 'tap';
import { scanFrame, type Frame } from '../source/scan-frame.ts';
import { createFrameMessages } from './message-maker.ts';
import { isNodeCopy } from './node-copies.ts';
import { createRedact } from './redact.ts';

function readFrame(line: Buffer | string): Frame {
  const frame = scanFrame(Buffer.from(line));
  if (frame === 'heartbeat') throw new Error('Expected a frame');
  return frame;
}

function frameOf(...events: readonly Readonly<Record<string, unknown>>[]): Frame {
  return readFrame(JSON.stringify({ Index: 20, Events: events.map((event) => ({ Key: 'n', Index: 20, ...event })) }));
}

const copy = { Topic: 'Node', Type: 'AllocationUpdated', Payload: { Node: { ID: 'n', ModifyIndex: 12 } } };

t.test('a copy is a Node event whose node was modified before', (t) => {
  const cases: readonly (readonly [string, Readonly<Record<string, unknown>>, boolean])[] = [
    ['a copy', copy, true],
    [
      'in another order of keys',
      {
        Payload: { Other: { ModifyIndex: 99 }, Node: { Drivers: { ModifyIndex: 20 }, ModifyIndex: 19, ID: 'n' } },
        Type: 'AllocationUpdated',
        Topic: 'Node',
      },
      true,
    ],
    ['a change', { ...copy, Payload: { Node: { ModifyIndex: 20 } } }, false],
    ['an event of the node, which does not modify it', { ...copy, Type: 'NodeStreamEvent' }, false],
    ['another topic', { ...copy, Topic: 'NodePool' }, false],
    ['no ModifyIndex', { ...copy, Payload: { Node: {} } }, false],
    ['a ModifyIndex that is none', { ...copy, Payload: { Node: { ModifyIndex: '12' } } }, false],
    ['no node', { ...copy, Payload: { Node: null } }, false],
    ['no payload', { ...copy, Payload: undefined }, false],
    ['no type', { ...copy, Type: undefined }, false],
  ];
  for (const [what, event, expected] of cases) {
    const { line, events } = frameOf(event);
    t.strictSame(
      events.map((found) => isNodeCopy(line, found)),
      [expected],
      what,
    );
  }
  t.end();
});

t.test('most Node events of a recording are copies, and no other event is', async (t) => {
  const counts = new Map<string, number>();
  for (const line of await readRecording('crashing-cluster')) {
    if (line.toString() === '{}') continue;
    const frame = readFrame(line);
    for (const event of frame.events) {
      const kind = `${event.head?.topic === 'Node' ? 'Node' : 'other'} ${isNodeCopy(frame.line, event) ? 'copy' : 'kept'}`;
      counts.set(kind, (counts.get(kind) ?? 0) + 1);
    }
  }

  t.equal(counts.get('Node copy'), 123);
  t.equal(counts.get('Node kept'), 5);
  t.equal(counts.get('other copy'), undefined);
});

t.test('copies that are left out change no id of what is kept', (t) => {
  const changed = { Topic: 'Node', Type: 'NodeEligibility', Payload: { Node: { ModifyIndex: 20 } } };
  const frame = frameOf(copy, { Topic: 'Job', Type: 'JobRegistered' }, changed);
  const all = createFrameMessages({ cluster: 'c', region: 'r', redact: createRedact([]) }).make(frame, 0).messages;
  const kept = createFrameMessages({ cluster: 'c', region: 'r', redact: createRedact([]), leavesOut: isNodeCopy }).make(
    frame,
    0,
  ).messages;

  t.strictSame(kept, [all[1], all[2]]);
  t.match(kept[1]?.id, /\/1$/u, 'numbered as the second');
  t.end();
});
