/**
 * Puts messages on a bus of Amazon EventBridge, ten a call; what a call did not take is tried again alone. The client
 * is loaded when the sink is used, not before.
 */
import type { EventBridgeClient, PutEventsRequestEntry, PutEventsResultEntry } from '@aws-sdk/client-eventbridge';
import { retryable, type Batch, type Sink, type SinkDefinition } from '@hydrant/shared/delivery/sink';
import type { Message } from '@hydrant/shared/messages/message';
import { text, url } from '@hydrant/shared/runtime/config/formats';
import type { Schema, Values } from '@hydrant/shared/runtime/config/setting';
import { proxySettings } from '@hydrant/shared/runtime/proxy/proxy-settings';
import { callAws, clientOptions, loadClient, lookAtAws, type CallContext } from './aws/aws-client.ts';
import { sendEntries, type Entry, type EntryFailure, type EntryLimits } from './aws/entries.ts';
import { encodeOrRefuse } from './encoding/encode-or-refuse.ts';
import { plainText } from './encoding/foreign-text.ts';
import { isoTime } from './encoding/time.ts';

const settings = {
  SINK_EVENT_BUS_NAME: {
    doc: 'Event bus, by name or ARN.',
    format: text,
    default: null,
    required: true,
    example: 'nomad-events',
  },
  SINK_EVENT_BUS_DETAIL_TYPE: {
    doc: "`DetailType` of an event; empty: the message's type, such as `nomad.Job.JobRegistered`.",
    format: text,
    default: '',
  },
  SINK_EVENT_BUS_SOURCE: {
    doc: '`Source` of an event; it must not begin with `aws.`.',
    format: text,
    default: 'hydrant',
  },
  SINK_EVENT_BUS_REGION: {
    doc: 'Region; otherwise as the usual AWS chain has it.',
    format: text,
    default: null,
    example: 'eu-central-1',
  },
  SINK_EVENT_BUS_ENDPOINT: {
    doc: 'Address of another server that speaks EventBridge.',
    format: url(['http:', 'https:']),
    default: null,
  },
  ...proxySettings,
} as const satisfies Schema;

type EventbridgeValues = Values<typeof settings>;

/** Those of PutEvents. */
const limits: EntryLimits = { maxEntries: 10, maxBytes: 256 * 1024, maxEntryBytes: 256 * 1024 };
/** What EventBridge counts for a time. */
const timeBytes = 14;
const mostDetailType = 128;
const hints: Readonly<Record<string, string>> = {
  ResourceNotFoundException: 'make the bus or set SINK_EVENT_BUS_NAME',
  NotAuthorizedForSourceException: 'set SINK_EVENT_BUS_SOURCE',
};
const refusals = new Set(['InvalidArgument', 'MalformedDetail', 'ValidationException']);

export function makeEvent(
  message: Message,
  index: number,
  values: Pick<EventbridgeValues, 'SINK_EVENT_BUS_NAME' | 'SINK_EVENT_BUS_DETAIL_TYPE' | 'SINK_EVENT_BUS_SOURCE'>,
): Entry<PutEventsRequestEntry> {
  const { SINK_EVENT_BUS_NAME: EventBusName, SINK_EVENT_BUS_SOURCE: Source } = values;
  // n.b. EventBridge takes no event without.
  const DetailType = plainText(
    (values.SINK_EVENT_BUS_DETAIL_TYPE || message.type || 'unknown').slice(0, mostDetailType),
  );
  const hasTime = isoTime(message.timestampMs) !== undefined;
  const Resources = message.id === '' ? [] : [plainText(message.id)];
  const named = [Source, DetailType, ...Resources].reduce((sum, said) => sum + Buffer.byteLength(said), 0);
  return {
    index,
    bytes: message.body.length + named + (hasTime ? timeBytes : 0),
    value: {
      EventBusName,
      Source,
      DetailType,
      Detail: message.body.toString('utf8'),
      Resources,
      ...(hasTime ? { Time: new Date(message.timestampMs) } : {}),
    },
  };
}

/**
 * What is wrong with an event fails again, what EventBridge says of itself or of the bus may pass. What it says nothing
 * of was not taken.
 */
export function judgeEntries(entries: readonly PutEventsResultEntry[], count: number): readonly EntryFailure[] {
  return Array.from({ length: count }, (_, position) => position).flatMap((position) => {
    const { ErrorCode = 'nothing', ErrorMessage, EventId } = entries[position] ?? {};
    if (EventId !== undefined && ErrorCode === 'nothing') return [];
    const hint = hints[ErrorCode];
    return [
      {
        position,
        reason: `Expected EventBridge to take an event, got ${ErrorCode}${ErrorMessage === undefined ? '' : `: ${ErrorMessage}`}${hint === undefined ? '' : ` (${hint})`}`,
        retryable: !refusals.has(ErrorCode),
      },
    ];
  });
}

class EventbridgeSink implements Sink {
  readonly #values: EventbridgeValues;
  readonly #call: CallContext;
  #client: EventBridgeClient | undefined;

  constructor(values: EventbridgeValues) {
    this.#values = values;
    this.#call = { where: `the event bus ${values.SINK_EVENT_BUS_NAME}`, refusals, hints };
  }

  async connect(): Promise<void> {
    const { EventBridgeClient: Client } = await loadClient(
      '@aws-sdk/client-eventbridge',
      'eventbridge',
      () => import('@aws-sdk/client-eventbridge'),
    );
    this.#client ??= new Client(
      clientOptions({
        region: this.#values.SINK_EVENT_BUS_REGION,
        endpoint: this.#values.SINK_EVENT_BUS_ENDPOINT,
        values: this.#values,
      }),
    );
  }

  async write(batch: Batch, signal: AbortSignal): Promise<void> {
    const { PutEventsCommand } = await import('@aws-sdk/client-eventbridge');
    const client = this.#open();
    await sendEntries(
      encodeOrRefuse(() => batch.map((message, index) => makeEvent(message, index, this.#values))),
      limits,
      (values) =>
        callAws(this.#call, async () => {
          const { Entries = [] } = await client.send(new PutEventsCommand({ Entries: [...values] }), {
            abortSignal: signal,
          });
          return judgeEntries(Entries, values.length);
        }),
    );
  }

  async healthcheck(signal: AbortSignal): Promise<void> {
    const { DescribeEventBusCommand } = await import('@aws-sdk/client-eventbridge');
    await lookAtAws(this.#call, () =>
      this.#open().send(new DescribeEventBusCommand({ Name: this.#values.SINK_EVENT_BUS_NAME }), {
        abortSignal: signal,
      }),
    );
  }

  close(): Promise<void> {
    this.#client?.destroy();
    this.#client = undefined;
    return Promise.resolve();
  }

  #open(): EventBridgeClient {
    if (this.#client === undefined) throw retryable('Expected the EventBridge sink to be connected, it is not');
    return this.#client;
  }
}

function check({ SINK_EVENT_BUS_SOURCE: source }: EventbridgeValues): readonly string[] {
  return source === '' || source.startsWith('aws.')
    ? [`Expected \`SINK_EVENT_BUS_SOURCE\` to be a name that does not begin with "aws.", got "${source}"`]
    : [];
}

export const eventbridgeSink: SinkDefinition<typeof settings> = {
  type: 'eventbridge',
  settings,
  defaults: { batchEvents: limits.maxEntries, batchBytes: limits.maxBytes, batchAgeMs: 1000 },
  encodedBytes: (message, values) =>
    makeEvent({ ...message, body: Buffer.alloc(0) }, 0, values).bytes + message.body.length,
  check,
  create: (values) => new EventbridgeSink(values),
};
