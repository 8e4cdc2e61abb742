import { readRecording } from '@hydrant/testing/recordings';
import t from 'tap';
import { forEachElement, forEachMember } from '../foundation/json-scanner.ts';
import { makeEventMessage, readEventMessage } from './event-message.ts';
import type { Message } from './message.ts';
import { readEventHead } from './nomad-event.ts';

interface ParsedEvent {
  readonly Topic: string;
  readonly Type: string;
  readonly Key: string;
  readonly Namespace: string;
  readonly FilterKeys: readonly string[] | null;
  readonly Index: number;
  readonly Payload: Record<string, { readonly JobID?: string } | undefined>;
}

function readEvent(text: string): ReturnType<typeof readEventHead> {
  const bytes = Buffer.from(text);
  return readEventHead(bytes, 0, bytes.length);
}

t.test('the head of every recorded event is what JSON.parse finds', async (t) => {
  let events = 0;
  for (const line of await readRecording('crashing-cluster')) {
    forEachMember(line, 0, (member, start) => {
      if (member !== 'Events') return;
      forEachElement(line, start, (from, to) => {
        const parsed = JSON.parse(line.toString('utf8', from, to)) as ParsedEvent;
        const jobId = parsed.Topic === 'Job' ? parsed.Key : Object.values(parsed.Payload)[0]?.JobID;
        const {
          Topic: topic,
          Type: type,
          Key: key,
          Namespace: namespace,
          FilterKeys: filterKeys,
          Index: index,
        } = parsed;
        const expected = {
          topic,
          type,
          key,
          namespace,
          filterKeys: filterKeys ?? [],
          index,
          ...(jobId === undefined ? {} : { jobId }),
        };

        const head = readEventHead(line, from, to);

        events += 1;
        if (JSON.stringify(head) !== JSON.stringify(expected)) t.match(head, expected);
      });
    });
  }
  t.ok(events > 800);
});

t.test('the head is read in any key order', (t) => {
  const head = {
    topic: 'Allocation',
    type: 'PlanResult',
    key: 'a-1',
    namespace: 'team',
    filterKeys: ['web', ''],
    index: 7,
    jobId: 'web',
  };
  const orders = [
    '{"FilterKeys":["web",""],"Index":7,"Key":"a-1","Namespace":"team","Payload":{"Topic":"no"},"Topic":"Allocation","Type":"PlanResult"}',
    '{"Topic":"Allocation","Type":"PlanResult","Key":"a-1","Namespace":"team","FilterKeys":["web",""],"Index":7,"Payload":{"Topic":"no"}}',
    ' { "Payload" : {"Type":["x"]} , "Index" : 7 , "Type":"PlanResult","Topic":"Alloc\\u0061tion","Namespace":"team","Key":"a-1","FilterKeys":[ "web", "" ] } ',
  ];
  for (const text of orders) t.strictSame(readEvent(text), head);
  t.end();
});

t.test('the job is found where there is one', (t) => {
  const cases: readonly (readonly [string, string, string | undefined])[] = [
    ['Job', '"Key":"web","FilterKeys":null', 'web'],
    ['Allocation', '"Key":"a","FilterKeys":["web","d"]', 'web'],
    ['Evaluation', '"Key":"e","FilterKeys":null,"Payload":{"Evaluation":{"ID":"e","JobID":"web"}}', 'web'],
    ['Deployment', '"Payload":{"Deployment":{"JobID":"web"}},"FilterKeys":[""]', 'web'],
    ['Service', '"Key":"s","FilterKeys":["web","http"]', 'web'],
    ['Node', '"Key":"n","FilterKeys":["web"],"Payload":{"Node":{"JobID":"web"}}', undefined],
    ['CSIVolume', '"Key":"v","FilterKeys":["v","name"]', undefined],
    ['Allocation', '"Key":"a","FilterKeys":null,"Payload":null', undefined],
  ];
  for (const [topic, rest, jobId] of cases)
    t.equal(readEvent(`{"Topic":"${topic}","Type":"X","Index":1,${rest}}`).jobId, jobId, `${topic} ${rest}`);
  t.end();
});

t.test('what is no event is refused', (t) => {
  const cases: readonly (readonly [string, string])[] = [
    ['{}', 'event-malformed'],
    ['{"Topic":"Job","Type":"X"}', 'event-malformed'],
    ['{"Topic":1,"Type":"X","Index":1}', 'event-malformed'],
    ['{"Topic":"Job","Type":null,"Index":1}', 'event-malformed'],
    ['{"Topic":"Job","Type":"X","Index":1.5}', 'event-malformed'],
    ['{"Topic":"Job","Type":"X","Index":-1}', 'event-malformed'],
    ['{"Topic":"Job","Type":"X","Index":99999999999999999999}', 'event-malformed'],
    ['{"Topic":"Job","Type":"X","Index":1} {}', 'event-malformed'],
    ['{"Topic":"Job","Type":"X","Index":1}\u00a0', 'event-malformed'],
    ['[]', 'json-malformed'],
    ['{"Topic":"Job","Type":"X","Index":1', 'json-malformed'],
  ];
  for (const [text, code] of cases) t.throws(() => readEvent(text), { code }, text);
  t.end();
});

const parts = {
  id: 'prod/7/Allocation/team/a-1/0',
  routingKey: 'event.Allocation.PlanResult.team.web',
  cluster: 'prod',
  region: 'default',
  index: 7,
  origin: 'stream',
  topic: 'Allocation',
  type: 'PlanResult',
  timestampMs: 1_700_000_000_000,
  body: Buffer.from('{}'),
} as const;

t.test('an event message is read back as it was made', (t) => {
  const message = makeEventMessage(parts);

  t.strictSame(message, {
    id: parts.id,
    routingKey: parts.routingKey,
    type: 'nomad.Allocation.PlanResult',
    contentType: 'application/json',
    appId: 'hydrant-firehose',
    timestampMs: parts.timestampMs,
    headers: { cluster: 'prod', region: 'default', index: 7, origin: 'stream', format: 1 },
    body: parts.body,
  });
  t.equal(message.body, parts.body, 'the body is not copied');
  t.strictSame(readEventMessage(message), {
    cluster: 'prod',
    region: 'default',
    index: 7,
    origin: 'stream',
    topic: 'Allocation',
    type: 'PlanResult',
  });
  t.end();
});

t.test('a message that is no event is refused', (t) => {
  const message = makeEventMessage(parts);
  const cases: readonly (readonly [string, Partial<Message>])[] = [
    ['an alert', { type: 'crash-loop' }],
    ['another format', { headers: { ...message.headers, format: 2 } }],
    ['no headers', { headers: {} }],
    ['an index in letters', { headers: { ...message.headers, index: 'seven' } }],
    ['an unknown origin', { headers: { ...message.headers, origin: 'elsewhere' } }],
    ['a cluster that is no text', { headers: { ...message.headers, cluster: 1 } }],
  ];
  for (const [name, overrides] of cases)
    t.throws(
      () => readEventMessage({ ...message, ...overrides }),
      { code: 'message-not-event', retryable: false },
      name,
    );
  t.end();
});
