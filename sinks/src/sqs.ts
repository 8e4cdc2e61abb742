/**
 * Sends messages to a queue of Amazon SQS, standard or FIFO, ten a call; what a call did not take is tried again alone.
 * The client is loaded when the sink is used, not before.
 */
import { createHash } from 'node:crypto';
import type { SendMessageBatchCommandOutput, SendMessageBatchRequestEntry, SQSClient } from '@aws-sdk/client-sqs';
import { retryable, type Batch, type Sink, type SinkDefinition } from '@hydrant/shared/delivery/sink';
import type { Message } from '@hydrant/shared/messages/message';
import { size, text, url } from '@hydrant/shared/runtime/config/formats';
import type { Schema, Values } from '@hydrant/shared/runtime/config/setting';
import { proxySettings } from '@hydrant/shared/runtime/proxy/proxy-settings';
import { callAws, clientOptions, loadClient, type CallContext } from './aws/aws-client.ts';
import { sendEntries, type Entry, type EntryFailure } from './aws/entries.ts';
import { encodeOrRefuse } from './encoding/encode-or-refuse.ts';
import { plainText } from './encoding/foreign-text.ts';

const settings = {
  SINK_SQS_QUEUE_NAME: {
    doc: 'Queue; a FIFO queue is known by its name, which ends in `.fifo`.',
    format: text,
    default: null,
    required: true,
    example: 'nomad-events.fifo',
  },
  SINK_SQS_ACCOUNT_ID: {
    doc: "Account that owns the queue; none: the credentials' own.",
    format: text,
    default: null,
    aliases: ['AWS_ACCOUNT_ID'],
  },
  SINK_SQS_REGION: {
    doc: 'Region; otherwise as the usual AWS chain has it.',
    format: text,
    default: null,
    example: 'eu-central-1',
  },
  SINK_SQS_ENDPOINT: {
    doc: 'Address of another server that speaks SQS.',
    format: url(['http:', 'https:']),
    default: null,
    example: 'http://elasticmq:9324',
  },
  SINK_SQS_MAX_BYTES: {
    doc: 'Most bytes of a message, and of a call; a message above it is dead-lettered and not sent. Up to what the queue takes (`MaximumMessageSize`).',
    format: size,
    default: '256KiB',
  },
  ...proxySettings,
} as const satisfies Schema;

type SqsValues = Values<typeof settings>;

const maxEntries = 10;
const mostDeduplicationId = 128;
const hints: Readonly<Record<string, string>> = {
  QueueDoesNotExist: 'make it or set SINK_SQS_QUEUE_NAME',
  RequestThrottled: 'the queue is at its limit',
};
const refusals = new Set(['InvalidMessageContents', 'BatchRequestTooLong', 'InvalidBatchEntryId']);
/** SQS takes characters of XML only. In JSON these can only stand in a text, where their escapes mean the same. */
const noncharacter = /[\uFFFE\uFFFF]/gu;
/** The names that nomad-firehose gave to groups. */
const groups = new Map([
  ['Allocation', 'allocations'],
  ['Deployment', 'deployments'],
  ['Evaluation', 'evaluations'],
  ['Job', 'jobs'],
  ['Node', 'nodes'],
]);

function escapeInJson(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16)}`;
}

/** Messages of one group keep their order. */
export function groupOf({ type, routingKey }: Message): string {
  const topic = /^nomad\.([^.]+)\./u.exec(type)?.[1] ?? type;
  return groups.get(topic) ?? ((topic || routingKey).replaceAll(/[^A-Za-z0-9_-]/gu, '_').slice(0, 128) || 'other');
}

/** By which SQS drops repeats for five minutes: the message's id, or its hash where SQS would not take it. */
export function deduplicationId({ id, body }: Message): string {
  const isFit = id !== '' && id.length <= mostDeduplicationId && /^[!-~]+$/u.test(id);
  return isFit
    ? id
    : createHash('sha256')
        .update(id === '' ? body : id)
        .digest('hex');
}

export function makeEntry(message: Message, index: number, isFifo: boolean): Entry<SendMessageBatchRequestEntry> {
  const attributes = Object.entries({ id: plainText(message.id), type: plainText(message.type) }).filter(
    ([, value]) => value !== '',
  );
  const bytes =
    message.body.length +
    attributes.reduce((sum, [name, value]) => sum + Buffer.byteLength(value) + name.length + 'String'.length, 0);
  const value: SendMessageBatchRequestEntry = {
    Id: String(index),
    MessageBody: message.body.toString('utf8').replaceAll(noncharacter, escapeInJson),
    MessageAttributes: Object.fromEntries(
      attributes.map(([name, said]) => [name, { DataType: 'String', StringValue: said }]),
    ),
    ...(isFifo ? { MessageGroupId: groupOf(message), MessageDeduplicationId: deduplicationId(message) } : {}),
  };
  return { index, bytes, value };
}

/**
 * What SQS says is the sender's fault fails again, but for keys of encryption, which are mended at KMS. What it says
 * nothing of was not taken.
 */
export function judgeAnswer(
  { Successful = [], Failed = [] }: Pick<SendMessageBatchCommandOutput, 'Successful' | 'Failed'>,
  ids: readonly (string | undefined)[],
): readonly EntryFailure[] {
  const successful = new Set(Successful.map(({ Id }) => Id));
  return ids.flatMap((id, position) => {
    if (successful.has(id)) return [];
    const { Code = 'nothing', Message: said = '', SenderFault } = Failed.find(({ Id }) => Id === id) ?? {};
    return [
      {
        position,
        reason: `Expected SQS to take a message, got ${Code}${said === '' ? '' : `: ${said}`}`,
        retryable: SenderFault !== true || /^kms/iu.test(Code) || /throttl/iu.test(Code),
      },
    ];
  });
}

class SqsSink implements Sink {
  readonly #values: SqsValues;
  readonly #call: CallContext;
  #client: SQSClient | undefined;
  #queueUrl: string | undefined;

  constructor(values: SqsValues) {
    this.#values = values;
    this.#call = { where: `the queue ${values.SINK_SQS_QUEUE_NAME}`, refusals, hints };
  }

  async connect(signal: AbortSignal): Promise<void> {
    const { SQSClient: Client } = await loadClient('@aws-sdk/client-sqs', 'sqs', () => import('@aws-sdk/client-sqs'));
    this.#client ??= new Client(
      clientOptions({
        region: this.#values.SINK_SQS_REGION,
        endpoint: this.#values.SINK_SQS_ENDPOINT,
        values: this.#values,
      }),
    );
    this.#queueUrl = await this.#findQueue(this.#client, signal);
  }

  async write(batch: Batch, signal: AbortSignal): Promise<void> {
    const { SendMessageBatchCommand } = await import('@aws-sdk/client-sqs');
    const [client, queueUrl] = [this.#client, this.#queueUrl];
    if (client === undefined || queueUrl === undefined)
      throw retryable('Expected the SQS sink to be connected, it is not');
    const { SINK_SQS_MAX_BYTES: maxBytes, SINK_SQS_QUEUE_NAME: name } = this.#values;
    const entries = encodeOrRefuse(() =>
      batch.map((message, index) => makeEntry(message, index, name.endsWith('.fifo'))),
    );
    await sendEntries(entries, { maxEntries, maxBytes, maxEntryBytes: maxBytes }, (values) =>
      callAws(this.#call, async () => {
        const answer = await client.send(new SendMessageBatchCommand({ QueueUrl: queueUrl, Entries: [...values] }), {
          abortSignal: signal,
        });
        return judgeAnswer(
          answer,
          values.map(({ Id }) => Id),
        );
      }),
    );
  }

  async healthcheck(signal: AbortSignal): Promise<void> {
    if (this.#client === undefined) throw retryable('Expected the SQS sink to be connected, it is not');
    await this.#findQueue(this.#client, signal);
  }

  close(): Promise<void> {
    this.#client?.destroy();
    this.#client = undefined;
    return Promise.resolve();
  }

  async #findQueue(client: SQSClient, signal: AbortSignal): Promise<string> {
    const { GetQueueUrlCommand } = await import('@aws-sdk/client-sqs');
    const { SINK_SQS_QUEUE_NAME: QueueName, SINK_SQS_ACCOUNT_ID: owner } = this.#values;
    return callAws(this.#call, async () => {
      const { QueueUrl } = await client.send(
        new GetQueueUrlCommand({ QueueName, ...(owner === null ? {} : { QueueOwnerAWSAccountId: owner }) }),
        { abortSignal: signal },
      );
      if (QueueUrl === undefined)
        throw retryable(`Expected SQS to know the address of the queue ${QueueName}, got none`);
      return QueueUrl;
    });
  }
}

function check({ SINK_SQS_QUEUE_NAME: name }: SqsValues): readonly string[] {
  return /^[A-Za-z0-9_-]{1,80}(?:\.fifo)?$/u.test(name) && name.length <= 80
    ? []
    : [`Expected \`SINK_SQS_QUEUE_NAME\` to be the name of a queue, not its URL or ARN, got "${name}"`];
}

export const sqsSink: SinkDefinition<typeof settings> = {
  type: 'sqs',
  settings,
  defaults: { batchEvents: maxEntries, batchBytes: 256 * 1024, batchAgeMs: 1000 },
  encodedBytes: (message) => message.body.length + message.id.length + message.type.length + 20,
  check,
  create: (values) => new SqsSink(values),
};
