import { sinkContract, makeSinkMessage } from '@hydrant/shared/delivery/sink-contract';
import type { Sink } from '@hydrant/shared/delivery/sink';
import { loadConfig } from '@hydrant/shared/runtime/config/load-config';
import { startHttpReceiver, type ReceivedRequest, type Reply } from '@hydrant/testing/http-receiver';
import { testLog } from '@hydrant/testing/test-log';
import t, { type Test } from 'tap';
import { eventbridgeSink, judgeEntries, makeEvent } from './eventbridge.ts';

interface SentEvent {
  readonly Detail: string;
  readonly DetailType: string;
  readonly Source: string;
  readonly Resources: readonly string[];
  readonly EventBusName: string;
  readonly Time?: number;
}

const never = new AbortController().signal;
process.env['AWS_ACCESS_KEY_ID'] = 'test';
process.env['AWS_SECRET_ACCESS_KEY'] = 'test';

function load(env: Record<string, string>) {
  return loadConfig(eventbridgeSink.settings, {
    env: { SINK_EVENT_BUS_REGION: 'eu-central-1', SINK_EVENT_BUS_NAME: 'nomad-events', ...env },
    check: (values) =>
      eventbridgeSink.check?.(values as Parameters<NonNullable<typeof eventbridgeSink.check>>[0]) ?? [],
  });
}

function createSink(endpoint: string, env: Record<string, string> = {}): Sink {
  return eventbridgeSink.create(load({ SINK_EVENT_BUS_ENDPOINT: endpoint, ...env }), {
    log: testLog(),
    name: 'eventbridge',
  });
}

async function open(t: Test, endpoint: string, env: Record<string, string> = {}): Promise<Sink> {
  const sink = createSink(endpoint, env);
  await sink.connect(never);
  t.teardown(() => sink.close());
  return sink;
}

function refuse(name: string, status = 400): Reply {
  return {
    status,
    headers: { 'content-type': 'application/x-amz-json-1.1' },
    body: JSON.stringify({ __type: name, message: 'no' }),
  };
}

/** Speaks EventBridge's JSON protocol, with its limits. `judge` says of an event what is wrong with it. */
async function startEventbridge(t: Test) {
  const server = {
    taken: [] as SentEvent[],
    calls: [] as number[],
    judge: (_event: SentEvent): string | undefined => undefined,
    answer: (request: ReceivedRequest): Reply => {
      if (request.headers['x-amz-target'] === 'AWSEvents.DescribeEventBus')
        return { status: 200, body: '{"Name":"nomad-events"}' };
      if (request.headers['x-amz-target'] !== 'AWSEvents.PutEvents') return refuse('UnknownOperationException');
      const { Entries } = JSON.parse(request.body.toString()) as { readonly Entries: readonly SentEvent[] };
      const bytes = Entries.reduce(
        (sum, { Detail, DetailType, Source, Resources, Time }) =>
          sum + Buffer.byteLength(Detail + DetailType + Source + Resources.join('')) + (Time === undefined ? 0 : 14),
        0,
      );
      if (Entries.length > 10 || bytes > 262_144) return refuse('ValidationException');
      server.calls.push(Entries.length);
      const answers = Entries.map((event, n) => {
        const problem = event.DetailType === '' || event.Source === '' ? 'InvalidArgument' : server.judge(event);
        if (problem !== undefined) return { ErrorCode: problem, ErrorMessage: 'no' };
        server.taken.push(event);
        return { EventId: `event-${String(n)}` };
      });
      return {
        status: 200,
        headers: { 'content-type': 'application/x-amz-json-1.1' },
        body: JSON.stringify({
          FailedEntryCount: answers.filter((one) => 'ErrorCode' in one).length,
          Entries: answers,
        }),
      };
    },
  };
  const receiver = await startHttpReceiver(t, { answer: server.answer });
  return { server, receiver };
}

sinkContract(t, {
  name: 'eventbridge',
  async create(t) {
    const { server, receiver } = await startEventbridge(t);
    return {
      sink: createSink(receiver.url),
      arrived: () => server.taken.map(({ Detail }) => Detail),
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
        server.judge = () => 'MalformedDetail';
      },
      refuseOne: (body) => {
        server.judge = ({ Detail }) => (Detail === body ? 'ThrottlingException' : undefined);
      },
    };
  },
});

void t.test('an event says what it is, and carries the id of its message', async (t) => {
  const { server, receiver } = await startEventbridge(t);
  const plain = await open(t, receiver.url);
  const named = await open(t, receiver.url, {
    SINK_EVENT_BUS_DETAIL_TYPE: 'Nomad event',
    SINK_EVENT_BUS_SOURCE: 'north.nomad',
  });

  await plain.write([makeSinkMessage(1), makeSinkMessage(2, { id: '', type: '', timestampMs: 1e300 })], never);
  await named.write([makeSinkMessage(3)], never);

  t.match(server.taken, [
    {
      EventBusName: 'nomad-events',
      Source: 'hydrant',
      DetailType: 'nomad.Allocation.AllocationUpdated',
      Resources: [makeSinkMessage(1).id],
      Time: Date.UTC(2026, 4, 6, 7, 8, 9) / 1000,
    },
    { DetailType: 'unknown', Resources: [] },
    { Source: 'north.nomad', DetailType: 'Nomad event' },
  ]);
  t.notOk('Time' in (server.taken[1] ?? {}));
});

void t.test('a call has at most ten events and 256 KiB, what is larger is named and not sent', async (t) => {
  const { server, receiver } = await startEventbridge(t);
  const sink = await open(t, receiver.url);
  const sized = (n: number, bytes: number) =>
    makeSinkMessage(n, { body: Buffer.from(JSON.stringify({ text: 'x'.repeat(bytes) })) });
  const overhead = makeEvent(sized(1, 0), 0, load({})).bytes;

  await sink.write(
    Array.from({ length: 25 }, (_, n) => makeSinkMessage(n)),
    never,
  );
  await sink.write([sized(1, 262_144 - overhead), sized(2, 131_072 - overhead), sized(3, 131_072 - overhead)], never);
  t.same(server.calls, [10, 10, 5, 1, 2]);
  await t.rejects(sink.write([makeSinkMessage(1), sized(2, 262_145 - overhead)], never), {
    code: 'sink-partial',
    failures: [{ index: 1, retryable: false }],
  });
  t.equal(eventbridgeSink.encodedBytes?.(sized(1, 1000), load({})), overhead + 1000);
});

void t.test('what EventBridge says of an event decides', (t) => {
  const cases: readonly (readonly [string, boolean])[] = [
    ['InternalFailure', true],
    ['ThrottlingException', true],
    ['NotAuthorizedForSourceException', true],
    ['SomethingNew', true],
    ['InvalidArgument', false],
    ['MalformedDetail', false],
  ];
  for (const [ErrorCode, retryable] of cases)
    t.match(
      judgeEntries([{ EventId: '1' }, { ErrorCode, ErrorMessage: 'no' }], 2),
      [{ position: 1, retryable, reason: new RegExp(ErrorCode, 'u') }],
      ErrorCode,
    );
  t.match(judgeEntries([], 1), [{ position: 0, retryable: true, reason: /nothing$/u }]);
  t.end();
});

void t.test('a bus that does not exist and rights that lack wait and say what to do', async (t) => {
  const { receiver } = await startEventbridge(t);
  const sink = await open(t, receiver.url);
  const calls: readonly (readonly [string, number, string])[] = [
    ['ResourceNotFoundException', 400, 'sink-retryable'],
    ['AccessDeniedException', 400, 'sink-retryable'],
    ['InternalException', 500, 'sink-retryable'],
    ['ValidationException', 400, 'sink-permanent'],
  ];
  for (const [name, status, code] of calls) {
    receiver.clear();
    receiver.answer(() => refuse(name, status));
    await t.rejects(sink.write([makeSinkMessage(1)], never), { code, message: new RegExp(name, 'u') });
    t.equal(receiver.requests.length, 1, 'the client does not retry by itself');
  }
  receiver.answer(() => refuse('AccessDeniedException'));
  await t.resolves(sink.healthcheck(never));
  t.throws(() => load({ SINK_EVENT_BUS_SOURCE: 'aws.nomad' }), { message: /`SINK_EVENT_BUS_SOURCE`/u });
});
