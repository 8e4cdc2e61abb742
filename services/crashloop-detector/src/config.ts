/** The detector's own settings and what they mean to it. Those of RabbitMQ, Redis and the process come from shared, a sink's from the sink. */
import { consumerSettings } from '@hydrant/shared/runtime/config/common-settings';
import { duration, integer, oneOf, size, text, url, type Format } from '@hydrant/shared/runtime/config/formats';
import type { Schema, Setting, Values } from '@hydrant/shared/runtime/config/setting';
import type { CrashloopDetectorOptions } from './crashloop-detector.ts';
import type { Rule } from './ledger/ledger.ts';

const positiveDuration: Format<number> = {
  ...duration,
  expected: `${duration.expected}, above zero`,
  parse(raw) {
    const ms = duration.parse(raw);
    return ms !== undefined && ms > 0 ? ms : undefined;
  },
};

/** What makes a crash loop. */
export const ruleSettings = {
  RESTART_COUNT: { doc: 'So many crashes within `RESTART_INTERVAL` make a crash loop.', format: integer({ min: 1 }), default: 5 },
  RESTART_INTERVAL: { doc: 'How far back crashes count, from the newest one.', format: positiveDuration, default: '10m' },
  NOTIFICATION_INTERVAL: { doc: 'Least time between two alerts of one crash loop, by the time of its crashes.', format: duration, default: '10m' },
  DETECTOR_GROUP_BY: {
    doc: 'What counts together: `lineage` is a task in an allocation and in all that it replaced, `name` everything under one allocation name.',
    format: oneOf(['lineage', 'name']),
    default: 'lineage',
  },
} as const satisfies Schema;

export const inputSettings = {
  AMQP_QUEUE: { ...consumerSettings.AMQP_QUEUE, default: 'hydrant.crashloop-detector' },
  AMQP_BINDINGS: { ...consumerSettings.AMQP_BINDINGS, default: 'event.Allocation.#' },
  DETECTOR_PREFETCH: { doc: 'Most events in hand at once.', format: integer({ min: 1, max: 65_535 }), default: 500 },
  DETECTOR_MEMORY: { doc: 'Most bytes of events in hand at once.', format: size, default: '64MiB' },
} as const satisfies Schema;

/** Where alerts go; other destinations bring settings of their own. */
export const outputSettings = {
  SINK_TIMEOUT: { doc: 'Longest time that a destination other than `amqp` may take for one alert.', format: positiveDuration, default: '10s' },
  SINK_AMQP_CONNECTION: { doc: 'RabbitMQ for alerts; none: that of `AMQP_CONNECTION`.', format: url(['amqp:', 'amqps:']), default: null, sensitive: true },
  SINK_AMQP_EXCHANGE: { doc: 'Exchange for alerts; none: that of `AMQP_EXCHANGE`.', format: text, default: null },
  SINK_AMQP_ROUTING_KEY: { doc: 'Routing key of alerts; `{namespace}` and `{job}` may stand in it.', format: text, default: 'crash-loop' },
} as const satisfies Schema;

/** The setting SINK_TYPE, which accepts the types that the registry of sinks knows. */
export function sinkTypeSetting(sinkTypes: readonly string[]): Setting<string> & { readonly default: string } {
  return {
    doc: 'Destination of alerts; `amqp` is the exchange that events come from, or another.',
    format: oneOf([...new Set(['amqp', 'rabbitmq', ...sinkTypes])]),
    default: 'amqp',
  };
}

export function readRule(config: Values<typeof ruleSettings>): Rule {
  return { count: config.RESTART_COUNT, intervalMs: config.RESTART_INTERVAL, notificationIntervalMs: config.NOTIFICATION_INTERVAL };
}

export function readDetectorOptions(config: Values<typeof ruleSettings & typeof inputSettings & typeof outputSettings>): CrashloopDetectorOptions {
  return {
    queue: config.AMQP_QUEUE,
    bindings: config.AMQP_BINDINGS,
    prefetch: config.DETECTOR_PREFETCH,
    maxHeldBytes: config.DETECTOR_MEMORY,
    rule: readRule(config),
    groupBy: config.DETECTOR_GROUP_BY,
    alertRoutingKey: config.SINK_AMQP_ROUTING_KEY,
    retryMinMs: 200,
    retryMaxMs: 30_000,
  };
}
