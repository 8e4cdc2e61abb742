/**
 * The traps of Nomad's topic grammar, and the bytes of frames that were made smaller. Pure.
 */
import t from 'tap';
import { readFrame, selectLine, type FrameEvent } from './frame.ts';
import { parseTopics, selectEvents } from './topic-filter.ts';

const allocation = makeEvent('Allocation', 'a1', ['web', '']);
const deployed = makeEvent('Allocation', 'a2', ['web', 'd1']);
const job = makeEvent('Job', 'web', []);
const node = makeEvent('Node', 'n1', [], '');
const foreign = makeEvent('Job', 'web', [], 'team-a');

function makeEvent(topic: string, key: string, filterKeys: readonly string[], namespace = 'default'): FrameEvent {
  return { topic, key, filterKeys, namespace, start: 0, end: 0 };
}

function select(topics: readonly string[], namespaces: readonly string[] = ['default']): readonly FrameEvent[] {
  const parsed = parseTopics(topics);
  if ('invalid' in parsed) throw new Error(parsed.invalid);
  return selectEvents({ topics: parsed, namespaces: new Set(namespaces) }, [allocation, deployed, job, node, foreign]);
}

t.test('topics select as Nomad selects', (t) => {
  const cases: { topics: string[]; selected: FrameEvent[]; why: string }[] = [
    { topics: [], selected: [allocation, deployed, job, node], why: 'no topic is every topic' },
    { topics: ['*'], selected: [allocation, deployed, job, node], why: 'the wildcard topic' },
    { topics: ['Node'], selected: [node], why: 'one topic' },
    { topics: ['node'], selected: [], why: 'case counts' },
    { topics: ['Job', 'Node:*'], selected: [job, node], why: 'a key of `*` is no key' },
    { topics: ['Allocation:a1'], selected: [allocation], why: 'by key' },
    { topics: ['Allocation:d1'], selected: [deployed], why: 'by filter key' },
    { topics: ['Allocation:we*'], selected: [], why: 'no globbing' },
    {
      topics: ['Allocation:'],
      selected: [allocation],
      why: 'the empty key is a filter key of allocations without a deployment',
    },
    { topics: ['Allocation', 'Allocation:a1'], selected: [allocation], why: '`*` beside a key is an ordinary key' },
    { topics: ['Allocation', 'Allocation'], selected: [], why: 'the same topic twice selects nothing' },
    { topics: ['*', '*'], selected: [], why: 'as does the wildcard twice' },
    {
      topics: ['*:web', 'Node'],
      selected: [allocation, deployed, job],
      why: 'a key for all topics takes the wildcard from the others',
    },
    { topics: ['*', 'Job:other'], selected: [allocation, deployed, job, node], why: 'the wildcard alone wins' },
    {
      topics: ['Allocation:a2', 'Allocation:d1'],
      selected: [deployed, deployed],
      why: 'two matching keys give the event twice',
    },
  ];

  for (const { topics, selected, why } of cases) t.strictSame(select(topics), selected, why);
  t.end();
});

t.test('namespaces hold for events that have one', (t) => {
  t.strictSame(select(['*'], ['team-a']), [node, foreign]);
  t.strictSame(select(['Job'], ['default', 'team-a']), [job, foreign]);
  t.end();
});

t.test('a key with a colon cannot be said', (t) => {
  t.strictSame(parseTopics(['Job', 'Job:a:b']), { invalid: 'Job:a:b' });
  t.end();
});

t.test('a smaller frame is made of the same bytes in any key order', (t) => {
  const events = [
    '{"Topic":"Job","Key":"a, \\"b\\"","Namespace":"x","FilterKeys":null,"N":1795231697351342603}',
    '{ "Topic":"Node" ,"Key":"n","Namespace":"","FilterKeys":["ü"]}',
  ];
  const line = Buffer.from(`{"Index":7,"Events":[ ${events.join(' , ')} ],"X":"]}"}`);
  const frame = readFrame(line);
  const [first, second] = frame?.events ?? [];
  if (frame === undefined || first === undefined || second === undefined)
    throw new Error('Expected a frame with two events');

  t.equal(frame.index, 7);
  t.equal(first.key, 'a, "b"');
  t.strictSame(second.filterKeys, ['ü']);
  t.equal(selectLine(frame, [first, second]), line, 'the same buffer when nothing is left out');
  t.equal(selectLine(frame, [second]).toString(), `{"Index":7,"Events":[ ${events[1] ?? ''} ],"X":"]}"}`);
  t.equal(
    selectLine(frame, [first, first]).toString(),
    `{"Index":7,"Events":[ ${events[0] ?? ''},${events[0] ?? ''} ],"X":"]}"}`,
  );
  t.equal(readFrame(Buffer.from('{}')), undefined, 'a heartbeat is no frame');
  t.end();
});
