import type { Message } from '@hydrant/shared/messages/message';
import t from 'tap';
import { createFrameMessages } from '../message/message-maker.ts';
import { createRedact, type RedactKind } from '../message/redact.ts';
import { scanFrame } from '../source/scan-frame.ts';
import { compatResources, createCompatMessages, type CompatMessages } from './compat-messages.ts';
import { anything, bool, float, int, list, map, optional, struct, text, time, type Write } from './go-types.ts';
import { parseJson } from './read-event.ts';
import { createSeenTaskEvents } from './seen-task-events.ts';
import { unpackSnappy } from './snappy.ts';

function write(type: Write, json: string): string {
  const bytes = Buffer.from(json);
  return type(parseJson(bytes, 0, bytes.length));
}

t.test('values are written as Go writes them after reading them into its types', (t) => {
  const cases: readonly (readonly [Write, string, string])[] = [
    [text, '"a<b>&\\u2028\\"ü🚀"', '"a\\u003cb\\u003e\\u0026\\u2028\\"ü🚀"'],
    [text, 'null', '""'],
    [int, '1755765238123456789', '1755765238123456789'],
    [int, '-7', '-7'],
    [int, 'null', '0'],
    [float, '0.25', '0.25'],
    [float, '3', '3'],
    [bool, 'null', 'false'],
    [time, 'null', '"0001-01-01T00:00:00Z"'],
    [time, '"2026-11-21T03:43:06.469694676Z"', '"2026-11-21T03:43:06.469694676Z"'],
    [time, '"2026-11-21T03:43:06.4600Z"', '"2026-11-21T03:43:06.46Z"'],
    [time, '"2026-11-21T03:43:06.000+02:00"', '"2026-11-21T03:43:06+02:00"'],
    [time, '"2026-11-21T03:43:06+00:00"', '"2026-11-21T03:43:06Z"'],
    [optional(int), 'null', 'null'],
    [optional(int), '0', '0'],
    [list(text), 'null', 'null'],
    [list(text), '[]', '[]'],
    [list(text), '["a",null]', '["a",""]'],
    [map(int), 'null', 'null'],
    [
      map(int),
      '{"b":1,"a":2,"\u{10000}":3,"\uffee":4,"B":5,"10":6,"9":7}',
      '{"10":6,"9":7,"B":5,"a":2,"b":1,"\uffee":4,"\u{10000}":3}',
    ],
    [
      struct({ B: int, A: list(text), C: optional(struct({ D: text })) }),
      '{"A":["x"],"later":1}',
      '{"B":0,"A":["x"],"C":null}',
    ],
    [struct({ B: struct({ D: text }) }), 'null', '{"B":{"D":""}}'],
    [
      map(anything),
      '{"z":[1,1755765238123456789,{"y":null,"x":true}],"a":1.5}',
      '{"a":1.5,"z":[1,1755765238123456789,{"x":true,"y":null}]}',
    ],
  ];
  for (const [type, given, expected] of cases) t.equal(write(type, given), expected, given);
  const wrong: readonly (readonly [Write, string])[] = [
    [text, '1'],
    [int, '1.5'],
    [int, '"1"'],
    [bool, '0'],
    [time, '"yesterday"'],
    [list(text), '{}'],
    [map(text), '[]'],
    [struct({}), '"x"'],
    [float, '"1"'],
  ];
  for (const [type, given] of wrong) t.throws(() => write(type, given), { code: 'nomad-firehose-type' }, given);
  t.end();
});

t.test('a packed payload is unpacked, and what is none is refused', (t) => {
  const letters = '0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ';
  const cases: readonly (readonly [string, string | undefined])[] = [
    ['AA==', ''],
    ['BRBoZWxsbw==', 'hello'],
    ['UARhYv4CADYCAA==', 'ab'.repeat(40)],
    ['I0RpZCxuYW1lCjEsYWxwaGEKMiwJCCgzLGFscGhhYmV0Cg==', 'id,name\n1,alpha\n2,alpha\n3,alphabet\n'],
    [
      'ugHwPjAxMjM0NTY3ODlhYmNkZWZnaGlqa2xtbm9wcXJzdHV2d3h5ekFCQ0RFRkdISUpLTE1OT1BRUlNUVVZXWFlaMP4+AOo+AA==',
      letters.repeat(3),
    ],
    ['', undefined],
    ['BRBoZWxs', undefined],
    ['BhBoZWxsbw==', undefined],
    ['BBBoZWxsbw==', undefined],
    ['UP4CADYCAA==', undefined],
    ['//////8=', undefined],
    ['/////w8QaGVsbG8=', undefined],
    ['redacted', undefined],
  ];
  for (const [packed, expected] of cases)
    t.equal(unpackSnappy(Buffer.from(packed, 'base64'))?.toString(), expected, packed);
  t.end();
});

t.test('what an allocation shows again is not new, until it was forgotten or never taken over', (t) => {
  const seen = createSeenTaskEvents(2);
  const note = (allocation: string, ...shown: number[]): number[] => [
    ...(seen.note(allocation, new Map([['task', shown]])).get('task') ?? []),
  ];

  t.strictSame(note('a', 1, 2), [1, 2]);
  t.strictSame(note('a', 1, 2, 3), [3]);
  seen.forget();
  t.strictSame(note('a', 1, 2), [1, 2], 'not taken over');
  seen.settle();
  t.strictSame(note('a', 2, 4), [4]);
  seen.settle();
  t.strictSame(note('b', 1), [1], 'another allocation');
  t.strictSame([...seen.note('a', new Map([['other', [4]]])).keys()], ['other'], 'another task');
  seen.settle();
  t.strictSame(note('c', 1), [1]);
  seen.settle();
  t.equal(seen.size, 2);
  t.strictSame(note('c', 1), []);
  t.strictSame(note('b', 1), [1], 'forgotten: it changed longest ago');
  t.end();
});

interface Setup {
  /** What becomes of one frame with this event in it. */
  readonly feed: (event: Record<string, unknown>) => Message[];
  readonly compat: CompatMessages;
  readonly failures: string[];
}

function setUp(redact: readonly RedactKind[] = []): Setup {
  const messages = createFrameMessages({ cluster: 'prod', region: 'default', redact: createRedact(redact) });
  const failures: string[] = [];
  const compat = createCompatMessages(compatResources, 'prod', {
    compatMade: () => undefined,
    compatFailed: ({ resource, err }) => {
      failures.push(`${resource}: ${err.message}`);
    },
  });
  return {
    feed(event) {
      const frame = scanFrame(Buffer.from(JSON.stringify({ Index: event['Index'], Events: [event] })));
      if (frame === 'heartbeat') throw new Error('Expected a frame');
      return compat.make(frame.events, messages.make(frame, 1_000).messages);
    },
    compat,
    failures,
  };
}

function allocationEvent(index: number, events: readonly unknown[]): Record<string, unknown> {
  const allocation = {
    ID: 'a1',
    Name: 'web.web[0]',
    JobID: 'web',
    ModifyIndex: index,
    TaskStates: { nginx: { State: 'running', StartedAt: null, Events: events } },
  };
  return {
    Topic: 'Allocation',
    Type: 'AllocationUpdated',
    Key: 'a1',
    Namespace: 'default',
    Index: index,
    Payload: { Allocation: allocation },
  };
}

const started = { Type: 'Started', Time: 17, DisplayMessage: 'Task started by client' };
const terminated = { Type: 'Terminated', Time: 18, DisplayMessage: 'Exit Code: 1' };

t.test('a compat message has what an event message has, under its own key, type and id', (t) => {
  const { feed } = setUp();

  const [message, ...others] = feed(allocationEvent(12, [started]));

  t.equal(others.length, 0);
  t.match(message, {
    routingKey: 'allocations',
    type: 'nomad-firehose.allocations',
    contentType: 'application/json',
    timestampMs: 1_000,
  });
  t.match(message?.id, /^prod\/allocations\/a1\/nginx\/17\/[0-9a-f]{12}$/u);
  t.strictSame(message?.headers, { cluster: 'prod', region: 'default', index: 12, origin: 'stream', format: 1 });
  t.match(
    message?.body.toString(),
    /^\{"Name":"web.web\[0\]",.*"TaskStartedAt":"0001-01-01T00:00:00Z",.*"TaskEvent":\{"Type":"Started","Time":17,/u,
  );
  t.end();
});

t.test('a task event is told of once, and under the same id by a process that comes after', (t) => {
  const { feed, compat } = setUp();
  const first = feed(allocationEvent(12, [started]));
  compat.settle();
  const second = feed(allocationEvent(13, [started, terminated]));
  compat.settle();

  t.strictSame(feed(allocationEvent(14, [started, terminated])), []);
  t.equal(second.length, 1);
  t.strictSame(
    setUp()
      .feed(allocationEvent(14, [started, terminated]))
      .map(({ id }) => id),
    [...first, ...second].map(({ id }) => id),
  );
  t.end();
});

t.test('what could not be appended to the spool is told of again', (t) => {
  const { feed, compat } = setUp();
  const lost = feed(allocationEvent(12, [started]));

  compat.forget();

  t.strictSame(feed(allocationEvent(12, [started])), lost);
  t.end();
});

t.test('one that cannot be told costs no other', (t) => {
  const { feed, failures } = setUp();

  const made = feed(allocationEvent(12, [{ ...started, ExitCode: 'none' }, terminated]));

  t.equal(made.length, 1);
  t.strictSame(failures, ['allocations: Expected a whole number, got a string']);
  t.strictSame(
    feed({
      Topic: 'Job',
      Type: 'JobRegistered',
      Key: 'web',
      Index: 13,
      Payload: { Job: { ModifyIndex: 13, TaskGroups: 'none' } },
    }),
    [],
  );
  t.strictSame(feed({ Topic: 'Job', Type: 'JobRegistered', Key: 'web', Index: 13, Payload: null }), []);
  t.equal(failures.length, 2);
  t.end();
});

t.test('objects that did not change or are gone are not told of', (t) => {
  const { feed } = setUp();
  const node = (modifyIndex: number): Record<string, unknown> => ({
    Topic: 'Node',
    Type: 'AllocationUpdated',
    Key: 'n',
    Index: 12,
    Payload: { Node: { ID: 'n', ModifyIndex: modifyIndex } },
  });
  const job = { Topic: 'Job', Type: 'JobDeregistered', Key: 'web', Namespace: 'default', Index: 12 };

  t.equal(feed(node(11)).length, 0);
  t.strictSame(
    feed(node(12)).map(({ id }) => id),
    ['prod/12/Node//n/1/nodes'],
  );
  t.equal(feed({ ...job, Payload: { Job: { ID: 'web', ModifyIndex: 12 }, Deleted: true } }).length, 0);
  t.equal(feed({ ...job, Payload: { Job: { ID: 'web', ModifyIndex: 12 } } }).length, 1);
  t.end();
});

t.test('what is redacted in the event is redacted here', (t) => {
  const job = {
    ID: 'web',
    ModifyIndex: 12,
    Meta: { k: 's3cr3t' },
    Payload: 'BRBoZWxsbw==',
    TaskGroups: [
      { Tasks: [{ Env: { A: 's3cr3t' }, Templates: [{ EmbeddedTmpl: 's3cr3t' }], Config: { a: 's3cr3t' } }] },
    ],
  };
  const event = {
    Topic: 'Job',
    Type: 'JobRegistered',
    Key: 'web',
    Namespace: 'default',
    Index: 12,
    Payload: { Job: job },
  };

  const [plain] = setUp().feed(event);
  const [redacted] = setUp(['env', 'templates', 'meta', 'payload', 'config']).feed(event);

  t.match(plain?.body.toString(), /"Payload":"aGVsbG8=",.*s3cr3t/su);
  t.match(
    redacted?.body.toString(),
    /"Config":\{\},.*"Env":\{\},.*"Templates":\[\],.*"Payload":"redacted",.*"Meta":\{\}/su,
  );
  t.notMatch(redacted?.body.toString(), /s3cr3t|aGVsbG8/u);
  t.end();
});
