import { Writable } from 'node:stream';
import type { QueueAdmin, QueueState } from '@hydrant/shared/bus/queue-admin';
import { createLineWriter } from '@hydrant/shared/runtime/line-writer';
import t from 'tap';
import { findQueueName } from './queue-name.ts';
import { readRemovalRequest, removeQueues } from './remove-queue.ts';

const never = new AbortController().signal;
const names = ['q', 'q.dead-letter'];

function makeState(name: string, messages = 0, consumers = 0): QueueState {
  return { name, messages, consumers, oldest: messages > 0 ? { id: 'default/1', publishedAtMs: 0 } : undefined };
}

async function run(
  states: readonly QueueState[],
  isForced: boolean,
): Promise<{ readonly removed: readonly string[]; readonly said: string; readonly error: unknown }> {
  const removed: string[] = [];
  let said = '';
  const output = new Writable({
    write(chunk: Buffer, _encoding, done) {
      said += chunk.toString();
      done();
    },
  });
  const admin: QueueAdmin = {
    inspect: async (name) => states.find((state) => state.name === name),
    async remove(name) {
      removed.push(name);
    },
  };
  const error: unknown = await removeQueues(names, isForced, {
    admin,
    out: createLineWriter(output),
    signal: never,
  }).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  return { removed, said, error };
}

void t.test('queues that nobody needs are removed, the others only by force', async (t) => {
  const cases: readonly (readonly [readonly QueueState[], boolean, readonly string[], RegExp | undefined])[] = [
    [[makeState('q'), makeState('q.dead-letter')], false, names, undefined],
    [[makeState('q.dead-letter')], false, ['q.dead-letter'], undefined],
    [[makeState('q', 2)], false, [], /"q" holds 2 messages; `--force`/u],
    [
      [makeState('q', 0, 1), makeState('q.dead-letter', 1)],
      false,
      [],
      /"q" has consumers and "q\.dead-letter" holds 1 message/u,
    ],
    [[makeState('q', 2, 1), makeState('q.dead-letter', 1)], true, names, undefined],
    [[], true, [], /has none of that name|it has none/u],
  ];
  for (const [states, isForced, removed, message] of cases) {
    const result = await run(states, isForced);
    t.same(result.removed, removed);
    t.match(result.error, message === undefined ? undefined : { message });
  }
});

void t.test('what is in them is shown first', async (t) => {
  const { said } = await run([makeState('q', 2), makeState('q.dead-letter')], true);
  t.same(said.trimEnd().split('\n'), [
    'q: 2 messages, 0 consumers; the oldest is default/1, published at 1970-01-01T00:00:00.000Z',
    'q.dead-letter: 0 messages, 0 consumers',
    'q is removed',
    'q.dead-letter is removed',
  ]);
});

void t.test('the queue is that of the sink, as far as anything names it', (t) => {
  const nothing = { AMQP_QUEUE: null, SINK_NAME: null, SINK_TYPE: null };
  const cases = [
    ['given', { ...nothing, AMQP_QUEUE: 'set' }, 'given'],
    [null, { AMQP_QUEUE: 'set', SINK_NAME: 'audit', SINK_TYPE: 'http' }, 'set'],
    [null, { ...nothing, SINK_NAME: 'audit', SINK_TYPE: 'http' }, 'hydrant.sink.audit'],
    [null, { ...nothing, SINK_TYPE: 'rabbitmq' }, 'hydrant.sink.amqp'],
  ] as const;
  for (const [given, settings, expected] of cases) t.equal(findQueueName(given, settings), expected);
  t.throws(() => findQueueName(null, nothing), { code: 'arguments-invalid' });
  t.same(readRemovalRequest(['--queue', 'q', '--force']), { queue: 'q', isForced: true });
  t.throws(() => readRemovalRequest(['q']), { code: 'arguments-invalid', message: /Usage: remove-queue/u });
  t.end();
});
