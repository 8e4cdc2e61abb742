/** The settings that every sink has, and what holds where they are not set: the sink's own defaults. */
import { formatDuration } from '../foundation/durations.ts';
import type { Message } from '../messages/message.ts';
import { duration, durationBetween, integer, size, text, type Format } from '../runtime/config/formats.ts';
import type { Schema, Values } from '../runtime/config/setting.ts';
import type { RetryOptions } from './deliver-batch.ts';
import type { SinkDefinition } from './sink.ts';

/** A pause or a limit of 0 would try without rest or end each try before it began. */
const positiveDuration: Format<number> = {
  ...duration,
  expected: `${duration.expected}, above zero`,
  parse(raw) {
    const ms = duration.parse(raw);
    return ms !== undefined && ms > 0 ? ms : undefined;
  },
};

/**
 * RabbitMQ takes back what a consumer holds for 30 minutes (`consumer_timeout`): a message waits for its batch first,
 * then for a destination that is down.
 */
const mostHeldMs = 25 * 60_000;
const pauseAfter = durationBetween({ minMs: 100, maxMs: 15 * 60_000 });
const batchAge = durationBetween({ minMs: 0, maxMs: 15 * 60_000 });

/**
 * Well below the time after which a message that is held goes back to its queue, and with it what is known of its
 * tries.
 */
const mostPoisonAfterMs = 10 * 60_000;
const poisonAfter: Format<number> = {
  ...duration,
  expected: `${duration.expected}, at most ${formatDuration(mostPoisonAfterMs)}`,
  parse(raw) {
    const ms = duration.parse(raw);
    return ms !== undefined && ms <= mostPoisonAfterMs ? ms : undefined;
  },
};

/** It becomes part of the queue's name. */
const sinkName: Format<string> = {
  ...text,
  expected: 'a name of at most 100 letters, digits, ".", "_" and "-"',
  parse: (raw) => (typeof raw === 'string' && /^[A-Za-z0-9._-]{1,100}$/u.test(raw) ? raw : undefined),
};

export const deliverySettings = {
  SINK_TYPE: { doc: 'Destination.', format: text, default: null, required: true, example: 'http' },
  SINK_NAME: {
    doc: 'Name of this sink, in its queue, metrics and logs; the type where it is not set.',
    format: sinkName,
    default: null,
    example: 'archive',
  },
  SINK_BATCH_EVENTS: {
    doc: 'Most messages in a batch. None: as the sink has it.',
    format: integer({ min: 1 }),
    default: null,
  },
  SINK_BATCH_BYTES: {
    doc: 'Most bytes in a batch, encoded and not compressed. None: as the sink has it.',
    format: size,
    default: null,
  },
  SINK_BATCH_AGE: {
    doc: 'Longest time a message waits for its batch to fill, at most 15m: RabbitMQ takes back what is held for 30m. None: as the sink has it.',
    format: batchAge,
    default: null,
  },
  SINK_CONCURRENCY: {
    doc: 'Most batches in flight; with 1 the order of the queue is kept.',
    format: integer({ min: 1, max: 1000 }),
    default: 4,
    aliases: ['SINK_WORKER_COUNT', 'SINK_AMQP_WORKERS', 'SINK_MONGODB_WORKERS'],
  },
  SINK_TIMEOUT: { doc: 'Longest time one try may take.', format: positiveDuration, default: '10s' },
  SINK_MEMORY: {
    doc: 'Most bytes of messages held; above it the worker takes no more from its queue.',
    format: size,
    default: '256MiB',
  },
  SINK_RETRY_MIN: {
    doc: 'First ceiling of the random pause between tries.',
    format: positiveDuration,
    default: '200ms',
  },
  SINK_RETRY_MAX: { doc: 'Last ceiling of the random pause between tries.', format: positiveDuration, default: '30s' },
  SINK_PAUSE_AFTER: {
    doc: 'A destination that is down for so long has its queue left alone until it answers; what was in hand goes back.',
    format: pauseAfter,
    default: '10m',
  },
  SINK_POISON_AFTER: {
    doc: 'A message that alone gets server errors for so long, while the destination takes others, is dead-lettered; 0s: never.',
    format: poisonAfter,
    default: '5m',
  },
  SINK_RETRY_FOR: {
    doc: 'After so long a message is dead-lettered; 0s: tried for ever.',
    format: duration,
    default: '0s',
  },
} as const satisfies Schema;

/** Delivery as resolved from the settings and the sink's defaults. */
export interface DeliveryOptions {
  readonly name: string;
  readonly batchEvents: number | null;
  readonly batchBytes: number;
  readonly batchAgeMs: number;
  readonly concurrency: number;
  readonly timeoutMs: number;
  readonly maxHeldBytes: number;
  readonly retry: RetryOptions;
  /** A destination that is down for so long is not held on to. */
  readonly pauseAfterMs: number;
  /** After so long a message that fails alone while others are taken is dead-lettered; 0: never. */
  readonly poisonAfterMs: number;
  /** Most messages taken from the queue and not settled: the batches in flight and the one that fills. */
  readonly prefetch: number;
  encodedBytes(message: Message): number;
}

/** What no single setting can say. */
export function deliveryProblems(values: Readonly<Record<string, unknown>>): readonly string[] {
  const problems: string[] = [];
  const { SINK_RETRY_MIN: min, SINK_RETRY_MAX: max, SINK_BATCH_AGE: age, SINK_PAUSE_AFTER: pause } = values;
  if (typeof min === 'number' && typeof max === 'number' && min > max) {
    problems.push(
      `Expected \`SINK_RETRY_MIN\` to be at most \`SINK_RETRY_MAX\`, got ${formatDuration(min)} and ${formatDuration(max)}`,
    );
  }
  if (typeof age === 'number' && typeof pause === 'number' && age + pause > mostHeldMs) {
    problems.push(
      `Expected \`SINK_BATCH_AGE\` and \`SINK_PAUSE_AFTER\` to be at most ${formatDuration(mostHeldMs)} together, as RabbitMQ takes back what is held for 30m, got ${formatDuration(age)} and ${formatDuration(pause)}`,
    );
  }
  return problems;
}

/** The most that AMQP can say. */
const mostPrefetch = 65_535;

export function resolveDelivery<S extends Schema>(
  values: Values<typeof deliverySettings>,
  definition: SinkDefinition<S>,
  sinkValues: Values<S>,
): DeliveryOptions {
  const { defaults } = definition;
  const batchEvents = values.SINK_BATCH_EVENTS ?? defaults.batchEvents;
  const concurrency = Math.min(values.SINK_CONCURRENCY, definition.maxConcurrency ?? Infinity);
  return {
    name: values.SINK_NAME ?? definition.type,
    batchEvents,
    batchBytes: values.SINK_BATCH_BYTES ?? defaults.batchBytes,
    batchAgeMs: values.SINK_BATCH_AGE ?? defaults.batchAgeMs,
    concurrency,
    timeoutMs: values.SINK_TIMEOUT,
    maxHeldBytes: values.SINK_MEMORY,
    retry: { minMs: values.SINK_RETRY_MIN, maxMs: values.SINK_RETRY_MAX, forMs: values.SINK_RETRY_FOR },
    pauseAfterMs: values.SINK_PAUSE_AFTER,
    // One batch at a time keeps the order: nothing may go before what fails, so nothing shows whether the destination
    // works.
    poisonAfterMs: concurrency === 1 ? 0 : values.SINK_POISON_AFTER,
    prefetch: batchEvents === null ? mostPrefetch : Math.min(mostPrefetch, batchEvents * (concurrency + 1)),
    encodedBytes: (message) => definition.encodedBytes?.(message, sinkValues) ?? message.body.length + 1,
  };
}
