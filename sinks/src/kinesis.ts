/**
 * Puts messages into a stream of Amazon Kinesis; what a call did not take is tried again alone. The client is loaded
 * when the sink is used, not before.
 */
import type { KinesisClient, PutRecordsRequestEntry, PutRecordsResultEntry } from '@aws-sdk/client-kinesis';
import { retryable, type Batch, type Sink, type SinkDefinition } from '@hydrant/shared/delivery/sink';
import type { Message } from '@hydrant/shared/messages/message';
import { text, url } from '@hydrant/shared/runtime/config/formats';
import type { Schema, Values } from '@hydrant/shared/runtime/config/setting';
import { proxySettings } from '@hydrant/shared/runtime/proxy/proxy-settings';
import { callAws, clientOptions, loadClient, lookAtAws, type CallContext } from './aws/aws-client.ts';
import { sendEntries, type Entry, type EntryFailure, type EntryLimits } from './aws/entries.ts';
import { encodeOrRefuse } from './encoding/encode-or-refuse.ts';
import { fillTemplate } from './encoding/fill-template.ts';
import { wellFormed } from './encoding/foreign-text.ts';

const settings = {
  SINK_KINESIS_STREAM_NAME: { doc: 'Stream.', format: text, default: null, required: true, example: 'nomad-events' },
  SINK_KINESIS_PARTITION_KEY: {
    doc: 'Partition key, in which `{namespace}`, `{job}` and `{id}` may stand: without any of them all records go to one shard.',
    format: text,
    default: null,
    required: true,
    example: '{namespace}.{job}',
  },
  SINK_KINESIS_REGION: {
    doc: 'Region; otherwise as the usual AWS chain has it.',
    format: text,
    default: null,
    example: 'eu-central-1',
  },
  SINK_KINESIS_ENDPOINT: {
    doc: 'Address of another server that speaks Kinesis.',
    format: url(['http:', 'https:']),
    default: null,
    example: 'http://kinesis.example:4567',
  },
  ...proxySettings,
} as const satisfies Schema;

type KinesisValues = Values<typeof settings>;

/** Those of PutRecords; a partition key counts. */
const limits: EntryLimits = { maxEntries: 500, maxBytes: 5 * 1024 * 1024, maxEntryBytes: 1024 * 1024 };
const mostKey = 256;
const hints: Readonly<Record<string, string>> = {
  ResourceNotFoundException: 'make the stream or set SINK_KINESIS_STREAM_NAME',
  ProvisionedThroughputExceededException:
    'the shards are at their limit: add some, or spread SINK_KINESIS_PARTITION_KEY',
};
const refusals = new Set(['InvalidArgumentException', 'ValidationException', 'SerializationException']);

export function makeRecord(message: Message, index: number, template: string): Entry<PutRecordsRequestEntry> {
  const PartitionKey =
    wellFormed(
      fillTemplate(template, message)
        .replaceAll('{id}', () => message.id)
        .slice(0, mostKey),
    ) || '_';
  return {
    index,
    bytes: message.body.length + Buffer.byteLength(PartitionKey),
    value: { Data: message.body, PartitionKey },
  };
}

/**
 * Every record that failed may be taken later: Kinesis names throughput and its own troubles only. What it says nothing
 * of was not taken.
 */
export function judgeRecords(records: readonly PutRecordsResultEntry[], count: number): readonly EntryFailure[] {
  return Array.from({ length: count }, (_, position) => position).flatMap((position) => {
    const { ErrorCode = 'nothing', ErrorMessage, SequenceNumber } = records[position] ?? {};
    if (SequenceNumber !== undefined) return [];
    const hint = hints[ErrorCode];
    return [
      {
        position,
        reason: `Expected Kinesis to take a record, got ${ErrorCode}${ErrorMessage === undefined ? '' : `: ${ErrorMessage}`}${hint === undefined ? '' : ` (${hint})`}`,
        retryable: true,
      },
    ];
  });
}

class KinesisSink implements Sink {
  readonly #values: KinesisValues;
  readonly #call: CallContext;
  #client: KinesisClient | undefined;

  constructor(values: KinesisValues) {
    this.#values = values;
    this.#call = { where: `the stream ${values.SINK_KINESIS_STREAM_NAME}`, refusals, hints };
  }

  async connect(): Promise<void> {
    const { KinesisClient: Client } = await loadClient(
      '@aws-sdk/client-kinesis',
      'kinesis',
      () => import('@aws-sdk/client-kinesis'),
    );
    const { NodeHttpHandler } = await loadClient(
      '@smithy/node-http-handler',
      'kinesis',
      () => import('@smithy/node-http-handler'),
    );
    // n.b. by itself the client would speak HTTP/2, which other servers than AWS do not.
    const { requestHandler, ...options } = clientOptions({
      region: this.#values.SINK_KINESIS_REGION,
      endpoint: this.#values.SINK_KINESIS_ENDPOINT,
      values: this.#values,
    });
    this.#client ??= new Client({ ...options, requestHandler: new NodeHttpHandler(requestHandler) });
  }

  async write(batch: Batch, signal: AbortSignal): Promise<void> {
    const { PutRecordsCommand } = await import('@aws-sdk/client-kinesis');
    const client = this.#open();
    const { SINK_KINESIS_STREAM_NAME: StreamName, SINK_KINESIS_PARTITION_KEY: template } = this.#values;
    await sendEntries(
      encodeOrRefuse(() => batch.map((message, index) => makeRecord(message, index, template))),
      limits,
      (values) =>
        callAws(this.#call, async () => {
          const { Records = [] } = await client.send(new PutRecordsCommand({ StreamName, Records: [...values] }), {
            abortSignal: signal,
          });
          return judgeRecords(Records, values.length);
        }),
    );
  }

  async healthcheck(signal: AbortSignal): Promise<void> {
    const { DescribeStreamSummaryCommand } = await import('@aws-sdk/client-kinesis');
    await lookAtAws(this.#call, () =>
      this.#open().send(new DescribeStreamSummaryCommand({ StreamName: this.#values.SINK_KINESIS_STREAM_NAME }), {
        abortSignal: signal,
      }),
    );
  }

  close(): Promise<void> {
    this.#client?.destroy();
    this.#client = undefined;
    return Promise.resolve();
  }

  #open(): KinesisClient {
    if (this.#client === undefined) throw retryable('Expected the Kinesis sink to be connected, it is not');
    return this.#client;
  }
}

export const kinesisSink: SinkDefinition<typeof settings> = {
  type: 'kinesis',
  settings,
  defaults: { batchEvents: 500, batchBytes: 4 * 1024 * 1024, batchAgeMs: 500 },
  encodedBytes: (message) => message.body.length + mostKey,
  create: (values) => new KinesisSink(values),
};
