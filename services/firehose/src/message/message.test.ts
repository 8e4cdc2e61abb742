import t from 'tap';
import type { Frame } from '../source/scan-frame.ts';
import { scanFrame } from '../source/scan-frame.ts';
import { createFrameMessages } from './message-maker.ts';
import { createOrdinals, idStem, messageId } from './id.ts';
import { createRedact } from './redact.ts';
import { routingKey } from './routing-key.ts';

t.test('a routing key has five words, whatever the event holds', (t) => {
  const event = { topic: 'Allocation', type: 'PlanResult', namespace: 'default', jobId: 'web' };
  const cases: readonly (readonly [Partial<typeof event>, string])[] = [
    [{}, 'event.Allocation.PlanResult.default.web'],
    [{ jobId: 'import/dispatch-1.2' }, 'event.Allocation.PlanResult.default.import_dispatch-1_2'],
    [{ jobId: '', namespace: '' }, 'event.Allocation.PlanResult._._'],
    [{ topic: '', type: '' }, 'event._._.default.web'],
    [{ jobId: 'a b#*.ü🚀' }, 'event.Allocation.PlanResult.default.a_b_____'],
    [{ jobId: 'j'.repeat(300) }, `event.Allocation.PlanResult.default.${'j'.repeat(255 - 36)}`],
  ];
  for (const [overrides, expected] of cases) t.equal(routingKey({ ...event, ...overrides }), expected);
  const longest = routingKey({
    topic: 'T'.repeat(300),
    type: 'Y'.repeat(300),
    namespace: 'n'.repeat(300),
    jobId: 'j'.repeat(300),
  });
  t.equal(longest.length, 255);
  t.equal(longest.split('.').length, 5);
  t.equal(routingKey({ topic: 'Node', type: 'NodeDrain', namespace: '' }), 'event.Node.NodeDrain._._');
  t.end();
});

t.test('an id names the event, and its hash stands for a long one', (t) => {
  t.equal(
    messageId(idStem('prod', 12, { topic: 'Job', namespace: 'default', key: 'web' }), 1),
    'prod/12/Job/default/web/1',
  );
  t.equal(messageId(idStem('prod', 12, { topic: 'Node', namespace: '', key: 'n' }), 0), 'prod/12/Node//n/0');
  t.equal(messageId('a'.repeat(253), 0), `${'a'.repeat(253)}/0`);
  t.match(messageId('a'.repeat(254), 0), /^[0-9a-f]{64}$/u);
  t.match(messageId('ü'.repeat(127), 0), /^[0-9a-f]{64}$/u, 'bytes count, not characters');
  t.not(messageId('a'.repeat(300), 0), messageId('a'.repeat(300), 1));
  t.end();
});

t.test('ordinals count repeats within one index, over its frames', (t) => {
  const ordinals = createOrdinals();

  t.strictSame(ordinals.number(12, ['job']), [0]);
  t.strictSame(ordinals.number(12, ['eval', 'job', 'job']), [0, 1, 2]);
  t.strictSame(ordinals.number(13, ['job']), [0]);
  t.end();
});

t.test('frames seen again get the ordinals they had', (t) => {
  const cases: readonly {
    readonly name: string;
    readonly again: readonly (readonly string[])[];
    readonly expected: readonly (readonly number[])[];
  }[] = [
    { name: 'all of them', again: [['job'], ['eval', 'job'], ['job']], expected: [[0], [0, 1], [2]] },
    { name: 'the first has left the buffer', again: [['eval', 'job'], ['job']], expected: [[0, 1], [2]] },
    { name: 'and one more', again: [['job'], ['eval', 'job'], ['job'], ['job']], expected: [[0], [0, 1], [2], [3]] },
    { name: 'only one that was not seen', again: [['eval', 'alloc', 'job']], expected: [[1, 0, 3]] },
  ];
  for (const { name, again, expected } of cases) {
    const ordinals = createOrdinals();
    for (const stems of [['job'], ['eval', 'job'], ['job']]) ordinals.number(12, stems);

    ordinals.streamOpened();

    t.strictSame(
      again.map((stems) => ordinals.number(12, stems)),
      expected,
      name,
    );
  }
  t.end();
});

t.test('a resume that ends again in the middle forgets nothing', (t) => {
  const ordinals = createOrdinals();
  ordinals.number(12, ['job']);
  ordinals.number(12, ['job', 'eval']);
  ordinals.streamOpened();
  ordinals.number(12, ['job']);
  ordinals.streamOpened();

  t.strictSame(ordinals.number(12, ['job', 'eval']), [1, 0]);
  t.strictSame(ordinals.number(12, ['job']), [2]);
  t.end();
});

function frameOf(text: string): Frame {
  const frame = scanFrame(Buffer.from(text));
  if (frame === 'heartbeat') throw new Error('Expected a frame');
  return frame;
}

t.test('a frame becomes one message per event, bytes unchanged', (t) => {
  const events = [
    '{"Topic":"Job","Type":"JobRegistered","Key":"web","Namespace":"default","FilterKeys":null,"Index":12,"Payload":{ "n": 1755765238123456789 }}',
    '{"Topic":"Job","Type":"JobRegistered","Key":"web","Namespace":"default","FilterKeys":null,"Index":12,"Payload":{}}',
    '{"Strange":true}',
  ];
  const frame = frameOf(`{"Index":12,"Events":[${events.join(', ')}]}`);

  const messages = createFrameMessages({ cluster: 'prod', region: 'default', redact: createRedact([]) }).make(
    frame,
    1_000,
  ).messages;

  t.strictSame(
    messages.map(({ body }) => body.toString()),
    events,
  );
  t.strictSame(
    messages.map(({ id }) => id),
    ['prod/12/Job/default/web/0', 'prod/12/Job/default/web/1', 'prod/12////0'],
  );
  t.strictSame(
    messages.map(({ routingKey: key }) => key),
    ['event.Job.JobRegistered.default.web', 'event.Job.JobRegistered.default.web', 'event._._._._'],
  );
  t.strictSame(messages[0]?.headers, { cluster: 'prod', region: 'default', index: 12, origin: 'stream', format: 1 });
  t.equal(messages[0]?.timestampMs, 1_000);
  t.end();
});

t.test('what is redacted in an event changes nothing beside its body', (t) => {
  const event =
    '{"Topic":"Job","Type":"JobRegistered","Key":"web","Namespace":"default","Index":12,"Payload":{"Job":{"Meta":{"k":"s3cr3t"},"ID":"web"}}}';
  const frame = frameOf(`{"Index":12,"Events":[${event}]}`);

  const [plain] = createFrameMessages({ cluster: 'prod', region: 'default', redact: createRedact([]) }).make(
    frame,
    1_000,
  ).messages;
  const [redacted] = createFrameMessages({ cluster: 'prod', region: 'default', redact: createRedact(['meta']) }).make(
    frame,
    1_000,
  ).messages;

  t.equal(redacted?.body.toString(), event.replace('{"k":"s3cr3t"}', '{}'));
  t.strictSame({ ...redacted, body: '' }, { ...plain, body: '' });
  t.end();
});
