/**
 * The detector's own settings and what they mean to it. Those of RabbitMQ, Redis and the process come from shared, a
 * sink's from the sink.
 */
import { describeError } from '@hydrant/shared/foundation/errors';
import { consumerSettings } from '@hydrant/shared/runtime/config/common-settings';
import { bool, duration, integer, oneOf, path, size, text, url, urls } from '@hydrant/shared/runtime/config/formats';
import type { Schema, Setting, Values } from '@hydrant/shared/runtime/config/setting';
import { tlsSettings } from '@hydrant/shared/runtime/tls/tls-settings';
import type { CrashloopDetectorOptions } from './crashloop-detector.ts';
import { defaultMaxLineages, type Rule } from './ledger/ledger.ts';
import { positiveDuration } from './rules/formats.ts';
import { readRulesFile } from './rules/rules-file.ts';
import type { Rules } from './rules/choose-rule.ts';

/** In place of the thresholds while a file is only checked. */
const anyRule: Rule = { count: 1, intervalMs: 1, notificationIntervalMs: 0 };

/** What makes a crash loop, and what is said of it. */
export const ruleSettings = {
  RESTART_COUNT: {
    doc: 'So many crashes within `RESTART_INTERVAL` make a crash loop.',
    format: integer({ min: 1 }),
    default: 5,
  },
  RESTART_INTERVAL: {
    doc: 'How far back crashes count, from the newest one; and how long a task must run for its loop to be over.',
    format: positiveDuration,
    default: '10m',
  },
  NOTIFICATION_INTERVAL: {
    doc: 'Least time between two alerts of one crash loop, by the time of its crashes.',
    format: duration,
    default: '10m',
  },
  DETECTOR_GROUP_BY: {
    doc: 'What counts together: `lineage` is a task in an allocation and in all that it replaced, `name` everything under one allocation name.',
    format: oneOf(['lineage', 'name']),
    default: 'lineage',
  },
  NOTIFY_RESOLVED: {
    doc: 'Whether the end of a crash loop is announced too: its task has run for `RESTART_INTERVAL`, or was stopped.',
    format: bool,
    default: true,
  },
  DETECTOR_RULES_FILE: {
    doc: 'TOML or JSON file with rules of their own for some namespaces, jobs, groups or tasks.',
    format: path,
    default: null,
    example: 'rules.toml',
  },
} as const satisfies Schema;

export const inputSettings = {
  AMQP_QUEUE: { ...consumerSettings.AMQP_QUEUE, default: 'hydrant.crashloop-detector' },
  AMQP_BINDINGS: { ...consumerSettings.AMQP_BINDINGS, default: 'event.Allocation.#' },
  DETECTOR_PREFETCH: { doc: 'Most events in hand at once.', format: integer({ min: 1, max: 65_535 }), default: 250 },
  DETECTOR_MAX_LINEAGES: {
    doc: 'Most lineages that the ledger knows; above it those with the oldest news are forgotten.',
    format: integer({ min: 1 }),
    default: defaultMaxLineages,
  },
  DETECTOR_MEMORY: { doc: 'Most bytes of events in hand at once.', format: size, default: '64MiB' },
} as const satisfies Schema;

/** Where alerts go; other destinations bring settings of their own. */
export const outputSettings = {
  SINK_TIMEOUT: {
    doc: 'Longest time that a destination other than `amqp` may take for one alert.',
    format: positiveDuration,
    default: '10s',
  },
  SINK_AMQP_CONNECTION: {
    doc: 'RabbitMQ for alerts, as one URL or several; none: that of `AMQP_CONNECTION`.',
    format: urls(['amqp:', 'amqps:']),
    default: null,
    sensitive: true,
  },
  ...tlsSettings('SINK_AMQP', 'the RabbitMQ of `SINK_AMQP_CONNECTION`'),
  SINK_AMQP_EXCHANGE: { doc: 'Exchange for alerts; none: that of `AMQP_EXCHANGE`.', format: text, default: null },
  SINK_AMQP_ROUTING_KEY: {
    doc: 'Routing key of alerts; `{namespace}` and `{job}` may stand in it.',
    format: text,
    default: 'crash-loop',
  },
  SINK_AMQP_RESOLVED_ROUTING_KEY: {
    doc: 'The same for the end of a crash loop.',
    format: text,
    default: 'crash-loop-resolved',
  },
} as const satisfies Schema;

export const pageSettings = {
  NOMAD_UI_URL: {
    doc: "Address of Nomad's UI, for the links on the page of crash loops.",
    format: url(['http:', 'https:']),
    default: null,
    example: 'https://nomad.example.com',
  },
} as const satisfies Schema;

/** The setting SINK_TYPE, which accepts the types that the registry of sinks knows. */
export function sinkTypeSetting(sinkTypes: readonly string[]): Setting<string> & { readonly default: string } {
  return {
    doc: 'Destination of alerts; `amqp` is the exchange that events come from, or another.',
    format: oneOf([...new Set(['amqp', 'rabbitmq', ...sinkTypes])]),
    default: 'amqp',
  };
}

/** One queue with both would count each crash twice. */
export function checkBindings(bindings: readonly string[]): readonly string[] {
  const events = bindings.find(takesAllocationEvents);
  const messages = bindings.find(takesFirehoseMessages);
  if (events === undefined || messages === undefined) return [];
  const both = events === messages ? `"${events}", which takes both` : `"${events}" and "${messages}"`;
  return [
    `Expected \`AMQP_BINDINGS\` to take Nomad's Allocation events (event.Allocation.#) or nomad-firehose's messages (allocations), got ${both}: each crash would count twice`,
  ];
}

function takesAllocationEvents(pattern: string): boolean {
  const [first, second = ''] = pattern.split('.');
  return first === '#' || ((first === 'event' || first === '*') && ['Allocation', '*', '#'].includes(second));
}

function takesFirehoseMessages(pattern: string): boolean {
  const words = pattern.split('.');
  const fixed = words.filter((word) => word !== '#');
  return fixed.length === 0 || (fixed.length === 1 && ['allocations', '*'].includes(fixed[0] ?? ''));
}

/** Throws `config-invalid` with a line for each problem of DETECTOR_RULES_FILE. */
export function readRules(config: Values<typeof ruleSettings>): Rules {
  const rule = {
    count: config.RESTART_COUNT,
    intervalMs: config.RESTART_INTERVAL,
    notificationIntervalMs: config.NOTIFICATION_INTERVAL,
  };
  return {
    rule,
    overrides: config.DETECTOR_RULES_FILE === null ? [] : readRulesFile(config.DETECTOR_RULES_FILE, rule),
  };
}

/** What is wrong with the file of DETECTOR_RULES_FILE, for whoever collects the problems of all settings. */
export function rulesFileProblems(file: string | undefined): readonly string[] {
  try {
    if (file !== undefined) readRulesFile(file, anyRule);
    return [];
  } catch (error) {
    return [describeError(error)];
  }
}

export function readDetectorOptions(
  config: Values<typeof ruleSettings & typeof inputSettings & typeof outputSettings>,
): CrashloopDetectorOptions {
  return {
    queue: config.AMQP_QUEUE,
    bindings: config.AMQP_BINDINGS,
    prefetch: config.DETECTOR_PREFETCH,
    maxHeldBytes: config.DETECTOR_MEMORY,
    ...readRules(config),
    groupBy: config.DETECTOR_GROUP_BY,
    alertRoutingKey: config.SINK_AMQP_ROUTING_KEY,
    resolvedRoutingKey: config.SINK_AMQP_RESOLVED_ROUTING_KEY,
    notifyResolved: config.NOTIFY_RESOLVED,
    retryMinMs: 200,
    retryMaxMs: 30_000,
  };
}
