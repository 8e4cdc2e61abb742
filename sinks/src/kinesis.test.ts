import {
  CreateStreamCommand,
  DescribeStreamCommand,
  GetRecordsCommand,
  GetShardIteratorCommand,
  KinesisClient,
} from '@aws-sdk/client-kinesis';
import { sinkContract, makeSinkMessage } from '@hydrant/shared/delivery/sink-contract';
import type { Sink } from '@hydrant/shared/delivery/sink';
import { loadConfig } from '@hydrant/shared/runtime/config/load-config';
import { eventually } from '@hydrant/testing/eventually';
import { startFaultProxy } from '@hydrant/testing/fault-proxy';
import { startHttpReceiver, type ReceivedRequest, type Reply } from '@hydrant/testing/http-receiver';
import { testLog } from '@hydrant/testing/test-log';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import type { Server } from 'node:http';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import t, { type Test } from 'tap';
import { judgeRecords, kinesisSink, makeRecord } from './kinesis.ts';

const never = new AbortController().signal;
const stream = 'nomad-events';
const region = 'us-east-1';
process.env['AWS_ACCESS_KEY_ID'] = 'test';
process.env['AWS_SECRET_ACCESS_KEY'] = 'test';

function createSink(port: number, env: Record<string, string> = {}): Sink {
  const settings = {
    SINK_KINESIS_ENDPOINT: `http://127.0.0.1:${String(port)}`,
    SINK_KINESIS_REGION: region,
    SINK_KINESIS_STREAM_NAME: stream,
    SINK_KINESIS_PARTITION_KEY: '{namespace}.{job}',
    ...env,
  };
  return kinesisSink.create(loadConfig(kinesisSink.settings, { env: settings }), { log: testLog(), name: 'kinesis' });
}

async function open(t: Test, port: number, env: Record<string, string> = {}): Promise<Sink> {
  const sink = createSink(port, env);
  await sink.connect(never);
  t.teardown(() => sink.close());
  return sink;
}

/** A server that keeps records as Kinesis does, with one shard. */
async function startKinesalite(t: Test) {
  const kinesalite = createRequire(import.meta.url)('kinesalite') as (options: object) => Server;
  const server = kinesalite({ createStreamMs: 0 });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', () => {
      resolve();
    });
  });
  const { port } = server.address() as AddressInfo;
  const client = new KinesisClient({
    endpoint: `http://127.0.0.1:${String(port)}`,
    region,
    requestHandler: new NodeHttpHandler(),
  });
  t.teardown(() => {
    client.destroy();
    server.closeAllConnections();
    server.close();
  });
  await client.send(new CreateStreamCommand({ StreamName: stream, ShardCount: 1 }));
  const shard = await eventually(async () => {
    const { StreamDescription } = await client.send(new DescribeStreamCommand({ StreamName: stream }));
    return StreamDescription?.StreamStatus === 'ACTIVE' ? StreamDescription.Shards?.[0]?.ShardId : undefined;
  });
  return {
    port,
    async records() {
      const { ShardIterator } = await client.send(
        new GetShardIteratorCommand({ StreamName: stream, ShardId: shard, ShardIteratorType: 'TRIM_HORIZON' }),
      );
      return (await client.send(new GetRecordsCommand({ ShardIterator }))).Records ?? [];
    },
  };
}

sinkContract(t, {
  name: 'kinesis',
  without: {
    refuse: 'kinesalite refuses no record; the table of answers below has the refusals',
    refuseOne: 'as above; the contract runs over a server that takes some records below',
  },
  async create(t) {
    const server = await startKinesalite(t);
    const proxy = await startFaultProxy(t, { targetPort: server.port });
    return {
      sink: createSink(proxy.port),
      arrived: async () => (await server.records()).map(({ Data }) => Buffer.from(Data ?? []).toString()),
      breakDown: () => {
        proxy.cut();
      },
      mend: () => {
        proxy.restore();
      },
      stall: () => {
        proxy.blackHole();
      },
    };
  },
});

void t.test('a record lies under the partition key that was set', async (t) => {
  const server = await startKinesalite(t);
  const sink = await open(t, server.port, { SINK_KINESIS_PARTITION_KEY: '{namespace}/{job}' });

  await sink.write([makeSinkMessage(1), makeSinkMessage(2, { routingKey: 'crash-loop' })], never);

  t.same(
    (await server.records()).map(({ PartitionKey }) => PartitionKey),
    ['default/web', '_/_'],
  );
  t.equal(makeRecord(makeSinkMessage(1, { id: '$&' }), 0, '{id}').value.PartitionKey, '$&');
  t.equal(makeRecord(makeSinkMessage(1, { id: '' }), 0, '{id}').value.PartitionKey, '_');
  t.equal(makeRecord(makeSinkMessage(1, { id: 'x'.repeat(300) }), 0, '{id}').value.PartitionKey?.length, 256);
});

interface Put {
  readonly Records: readonly { readonly Data: string }[];
}

/** Answers PutRecords as Kinesis does; the records for which `fails` says so get an error. */
function answerPut(fails: (body: string) => boolean, sizes: number[] = []): (request: ReceivedRequest) => Reply {
  return (request) => {
    const { Records } = JSON.parse(request.body.toString()) as Put;
    sizes.push(Records.length);
    const answers = Records.map(({ Data }) =>
      fails(Buffer.from(Data, 'base64').toString())
        ? { ErrorCode: 'ProvisionedThroughputExceededException', ErrorMessage: 'Rate exceeded' }
        : { SequenceNumber: '1', ShardId: 'shard-0' },
    );
    return {
      status: 200,
      headers: { 'content-type': 'application/x-amz-json-1.1' },
      body: JSON.stringify({
        FailedRecordCount: answers.filter((answer) => 'ErrorCode' in answer).length,
        Records: answers,
      }),
    };
  };
}

sinkContract(t, {
  name: 'kinesis that does not take every record',
  without: { refuse: 'Kinesis refuses no record for what it is: the sink does, and those have a test of their own' },
  async create(t) {
    const taken: string[] = [];
    const answer =
      (failing?: string) =>
      (request: ReceivedRequest): Reply => {
        if (!String(request.headers['x-amz-target']).endsWith('.PutRecords'))
          return {
            status: 200,
            headers: { 'content-type': 'application/x-amz-json-1.1' },
            body: '{"StreamDescriptionSummary":{}}',
          };
        return answerPut((body) => {
          if (body !== failing) taken.push(body);
          return body === failing;
        })(request);
      };
    const receiver = await startHttpReceiver(t, { answer: answer() });
    return {
      sink: createSink(receiver.port),
      arrived: () => taken,
      breakDown: () => {
        receiver.answer(() => ({ status: 503 }));
      },
      mend: () => {
        receiver.answer(answer());
      },
      stall: () => {
        receiver.answer(() => 'hang');
      },
      refuseOne: (body) => {
        receiver.answer(answer(body));
      },
    };
  },
});

void t.test('records that were not taken are named, and only they', async (t) => {
  const second = makeSinkMessage(2);
  const receiver = await startHttpReceiver(t, { answer: answerPut((body) => body === second.body.toString()) });
  const sink = await open(t, receiver.port);

  await t.rejects(sink.write([makeSinkMessage(1), second, makeSinkMessage(3)], never), {
    code: 'sink-partial',
    failures: [{ index: 1, retryable: true, reason: /Rate exceeded.*SINK_KINESIS_PARTITION_KEY/u }],
  });
  await t.rejects(sink.write([second], never), { code: 'sink-retryable' });
  t.equal(receiver.requests.length, 2, 'the client does not retry by itself');
});

void t.test('a call has at most 500 records and 5 MiB, what is above 1 MiB is named and not sent', async (t) => {
  const sizes: number[] = [];
  const receiver = await startHttpReceiver(t, { answer: answerPut(() => false, sizes) });
  const sink = await open(t, receiver.port);
  const sized = (n: number, bytes: number) => makeSinkMessage(n, { body: Buffer.alloc(bytes, 'x') });

  await sink.write(
    Array.from({ length: 501 }, (_, n) => makeSinkMessage(n)),
    never,
  );
  await sink.write(
    Array.from({ length: 6 }, (_, n) => sized(n, 1_000_000)),
    never,
  );
  t.same(sizes, [500, 1, 5, 1]);
  await t.rejects(sink.write([sized(1, 1_048_576), makeSinkMessage(2)], never), {
    code: 'sink-partial',
    failures: [{ index: 0, retryable: false }],
  });
});

void t.test('what Kinesis says of records and of calls decides', async (t) => {
  const code = 'ProvisionedThroughputExceededException';
  t.match(
    judgeRecords(
      [{ SequenceNumber: '1' }, { ErrorCode: code, ErrorMessage: 'x' }, { ErrorCode: 'InternalFailure' }],
      4,
    ),
    [
      { position: 1, retryable: true },
      { position: 2, retryable: true, reason: /InternalFailure$/u },
      { position: 3, retryable: true, reason: /nothing$/u },
    ],
  );

  const receiver = await startHttpReceiver(t);
  const sink = await open(t, receiver.port);
  const calls: readonly (readonly [string, number, string])[] = [
    ['ResourceNotFoundException', 400, 'sink-retryable'],
    ['AccessDeniedException', 400, 'sink-retryable'],
    [code, 400, 'sink-retryable'],
    ['KMSThrottlingException', 400, 'sink-retryable'],
    ['InternalFailure', 500, 'sink-retryable'],
    ['InvalidArgumentException', 400, 'sink-permanent'],
    ['ValidationException', 400, 'sink-permanent'],
  ];
  for (const [name, status, expected] of calls) {
    receiver.answer(() => ({
      status,
      headers: { 'content-type': 'application/x-amz-json-1.1' },
      body: JSON.stringify({ __type: name, message: 'no' }),
    }));
    await t.rejects(sink.write([makeSinkMessage(1)], never), { code: expected, message: new RegExp(name, 'u') }, name);
  }
});
