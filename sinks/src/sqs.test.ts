import { sinkContract, makeSinkMessage } from '@hydrant/shared/delivery/sink-contract';
import type { Sink } from '@hydrant/shared/delivery/sink';
import { loadConfig } from '@hydrant/shared/runtime/config/load-config';
import { startHttpReceiver, type ReceivedRequest, type Reply } from '@hydrant/testing/http-receiver';
import { testLog } from '@hydrant/testing/test-log';
import { createHash } from 'node:crypto';
import t, { type Test } from 'tap';
import { deduplicationId, groupOf, judgeAnswer, makeEntry, sqsSink } from './sqs.ts';

interface SentEntry {
  readonly Id: string;
  readonly MessageBody: string;
  readonly MessageGroupId?: string;
  readonly MessageDeduplicationId?: string;
}

const never = new AbortController().signal;
process.env['AWS_ACCESS_KEY_ID'] = 'test';
process.env['AWS_SECRET_ACCESS_KEY'] = 'test';

function load(env: Record<string, string>) {
  return loadConfig(sqsSink.settings, {
    env: { SINK_SQS_REGION: 'eu-central-1', ...env },
    check: (values) => sqsSink.check?.(values as Parameters<NonNullable<typeof sqsSink.check>>[0]) ?? [],
  });
}

function createSink(endpoint: string, env: Record<string, string> = {}): Sink {
  return sqsSink.create(load({ SINK_SQS_ENDPOINT: endpoint, SINK_SQS_QUEUE_NAME: 'events', ...env }), {
    log: testLog(),
    name: 'sqs',
  });
}

function refuse(name: string, status = 400): Reply {
  return {
    status,
    headers: { 'content-type': 'application/x-amz-json-1.0' },
    body: JSON.stringify({ __type: `com.amazonaws.sqs#${name}`, message: 'no' }),
  };
}

/**
 * Speaks SQS's JSON protocol, with its limits, and drops repeats of a FIFO queue. `judge` says of an entry what is
 * wrong with it.
 */
async function startSqs(t: Test) {
  const taken: SentEntry[] = [];
  const server = {
    url: '',
    taken,
    calls: [] as (readonly SentEntry[])[],
    judge: (_entry: SentEntry): { readonly Code: string; readonly SenderFault: boolean } | undefined => undefined,
    answer: (request: ReceivedRequest): Reply => {
      const ask = JSON.parse(request.body.toString()) as {
        readonly QueueName?: string;
        readonly Entries?: readonly SentEntry[];
      };
      if (request.headers['x-amz-target'] === 'AmazonSQS.GetQueueUrl')
        return ask.QueueName === 'missing'
          ? refuse('QueueDoesNotExist')
          : { status: 200, body: JSON.stringify({ QueueUrl: `${server.url}/1/${String(ask.QueueName)}` }) };
      const entries = ask.Entries ?? [];
      if (entries.length > 10) return refuse('TooManyEntriesInBatchRequest');
      if (entries.reduce((sum, { MessageBody }) => sum + Buffer.byteLength(MessageBody), 0) > 262_144)
        return refuse('BatchRequestTooLong');
      server.calls.push(entries);
      const [Successful, Failed]: object[][] = [[], []];
      for (const entry of entries) {
        const problem = server.judge(entry);
        if (problem !== undefined) {
          Failed?.push({ Id: entry.Id, Message: 'no', ...problem });
          continue;
        }
        Successful?.push({
          Id: entry.Id,
          MessageId: entry.Id,
          MD5OfMessageBody: createHash('md5').update(entry.MessageBody).digest('hex'),
        });
        const isRepeat =
          entry.MessageDeduplicationId !== undefined &&
          taken.some((one) => one.MessageDeduplicationId === entry.MessageDeduplicationId);
        if (!isRepeat) taken.push(entry);
      }
      return {
        status: 200,
        headers: { 'content-type': 'application/x-amz-json-1.0' },
        body: JSON.stringify({ Successful, Failed }),
      };
    },
  };
  const receiver = await startHttpReceiver(t, { answer: server.answer });
  server.url = receiver.url;
  return { server, receiver };
}

for (const queue of ['events', 'events.fifo']) {
  sinkContract(t, {
    name: `sqs ${queue}`,
    async create(t) {
      const { server, receiver } = await startSqs(t);
      return {
        sink: createSink(receiver.url, { SINK_SQS_QUEUE_NAME: queue }),
        arrived: () => server.taken.map(({ MessageBody }) => MessageBody),
        breakDown: () => {
          receiver.answer(() => 'reset');
        },
        mend() {
          receiver.answer(server.answer);
          server.judge = () => undefined;
        },
        stall: () => {
          receiver.answer(() => 'hang');
        },
        refuse: () => {
          server.judge = () => ({ Code: 'InvalidMessageContents', SenderFault: true });
        },
        refuseOne: (body) => {
          server.judge = ({ MessageBody }) =>
            MessageBody === body ? { Code: 'InternalError', SenderFault: false } : undefined;
        },
      };
    },
  });
}

async function open(t: Test, url: string, env: Record<string, string> = {}): Promise<Sink> {
  const sink = createSink(url, env);
  await sink.connect(never);
  t.teardown(() => sink.close());
  return sink;
}

void t.test('a FIFO queue gets groups and drops repeats by the id', async (t) => {
  const { server, receiver } = await startSqs(t);
  const sink = await open(t, receiver.url, { SINK_SQS_QUEUE_NAME: 'events.fifo' });

  await sink.write([makeSinkMessage(1), makeSinkMessage(2, { type: 'nomad.Job.JobRegistered' })], never);
  await sink.write([makeSinkMessage(1)], never);

  t.match(server.taken, [
    { MessageGroupId: 'allocations', MessageDeduplicationId: makeSinkMessage(1).id },
    { MessageGroupId: 'jobs' },
  ]);
  t.equal(server.taken.length, 2);
});

void t.test('a call has at most ten messages and its bytes, what is larger is named and not sent', async (t) => {
  const { server, receiver } = await startSqs(t);
  const sink = await open(t, receiver.url);
  const sized = (n: number, bytes: number) =>
    makeSinkMessage(n, { body: Buffer.from(JSON.stringify('x'.repeat(bytes))) });

  await sink.write(
    Array.from({ length: 25 }, (_, n) => makeSinkMessage(n)),
    never,
  );
  t.same(
    server.calls.map((call) => call.length),
    [10, 10, 5],
  );
  server.calls.length = 0;
  await sink.write([sized(1, 200_000), sized(2, 100_000), sized(3, 100_000)], never);
  t.same(
    server.calls.map((call) => call.length),
    [1, 2],
  );
  server.calls.length = 0;
  await t.rejects(sink.write([sized(1, 10), sized(2, 262_144), sized(3, 10)], never), {
    code: 'sink-partial',
    failures: [{ index: 1, retryable: false }],
  });
  t.same(
    server.calls.map((call) => call.length),
    [2],
  );
});

void t.test('what SQS says of an entry decides', (t) => {
  const cases: readonly (readonly [string, boolean, boolean])[] = [
    ['InternalError', false, true],
    ['InvalidMessageContents', true, false],
    ['InvalidParameterValue', true, false],
    ['KmsThrottled', true, true],
    ['KMS.DisabledException', true, true],
    ['RequestThrottled', true, true],
  ];
  for (const [Code, SenderFault, retryable] of cases)
    t.match(
      judgeAnswer(
        {
          Successful: [{ Id: '6', MessageId: 'm', MD5OfMessageBody: 'x' }],
          Failed: [{ Id: '7', Code, SenderFault, Message: 'no' }],
        },
        ['6', '7'],
      ),
      [{ position: 1, retryable, reason: new RegExp(Code, 'u') }],
      Code,
    );
  t.match(judgeAnswer({ Successful: undefined, Failed: undefined }, ['6']), [
    { position: 0, retryable: true, reason: /got nothing$/u },
  ]);
  t.end();
});

void t.test('a queue that does not exist and rights that lack wait and say what to do', async (t) => {
  const { receiver } = await startSqs(t);
  const missing = createSink(receiver.url, { SINK_SQS_QUEUE_NAME: 'missing' });
  await t.rejects(missing.connect(never), {
    code: 'sink-retryable',
    message: /QueueDoesNotExist.*SINK_SQS_QUEUE_NAME/u,
  });
  await missing.close();

  const sink = await open(t, receiver.url);
  const calls: readonly (readonly [string, number, string])[] = [
    ['AccessDenied', 403, 'sink-retryable'],
    ['RequestThrottled', 400, 'sink-retryable'],
    ['InternalError', 500, 'sink-retryable'],
    ['BatchRequestTooLong', 400, 'sink-permanent'],
  ];
  for (const [name, status, code] of calls) {
    receiver.clear();
    receiver.answer(() => refuse(name, status));
    await t.rejects(sink.write([makeSinkMessage(1)], never), { code, message: new RegExp(name, 'u') });
    t.equal(receiver.requests.length, 1, 'the client does not retry by itself');
  }
});

void t.test('groups and ids are such as SQS takes', (t) => {
  const groups: readonly (readonly [string, string, string])[] = [
    ['nomad.Node.NodeEvent', 'x', 'nodes'],
    ['nomad.Service.ServiceRegistration', 'x', 'Service'],
    ['crash-loop', 'x', 'crash-loop'],
    ['', 'jobs', 'jobs'],
    ['', '', 'other'],
    ['ä b', '', '__b'],
  ];
  for (const [type, routingKey, group] of groups) t.equal(groupOf(makeSinkMessage(1, { type, routingKey })), group);
  const ids: readonly (readonly [string, string | RegExp])[] = [
    ['a/b', 'a/b'],
    ['x'.repeat(128), 'x'.repeat(128)],
    ['x'.repeat(129), /^[0-9a-f]{64}$/u],
    ['ä', /^[0-9a-f]{64}$/u],
    ['', /^[0-9a-f]{64}$/u],
  ];
  for (const [id, expected] of ids) t.match(deduplicationId(makeSinkMessage(1, { id })), expected);
  t.same(makeEntry(makeSinkMessage(1, { id: '', type: '', body: Buffer.from('ä') }), 3, false), {
    index: 3,
    bytes: 2,
    value: { Id: '3', MessageBody: 'ä', MessageAttributes: {} },
  });
  t.throws(() => load({ SINK_SQS_QUEUE_NAME: 'https://sqs.example/1/events' }), { message: /not its URL or ARN/u });
  t.end();
});
