#!/usr/bin/env node
/** The detector as a process: names the adapters (RabbitMQ, Redis, the destination of alerts) and runs. */
import { createAmqpBus } from '@hydrant/shared/bus/amqp/amqp-bus';
import type { Bus } from '@hydrant/shared/bus/bus';
import { createRedisClient } from '@hydrant/shared/redis/redis-client';
import { amqpSettings, commonSettings, redisSettings } from '@hydrant/shared/runtime/config/common-settings';
import type { Schema, Values } from '@hydrant/shared/runtime/config/setting';
import type { HealthCheck } from '@hydrant/shared/runtime/admin/health';
import type { Component } from '@hydrant/shared/runtime/component';
import { runService, type Lookup, type ServiceContext } from '@hydrant/shared/runtime/run-service';
import { version } from '@hydrant/shared/runtime/version';
import { findSink, sinkTypes } from '@hydrant/sinks/registry';
import type { AlertPublisher } from './alerts/alert-publisher.ts';
import { createBusAlertPublisher } from './alerts/bus-alert-publisher.ts';
import { SinkAlertPublisher } from './alerts/sink-alert-publisher.ts';
import { inputSettings, outputSettings, readDetectorOptions, ruleSettings, sinkTypeSetting } from './config.ts';
import { createCrashloopDetector } from './crashloop-detector.ts';
import { createRedisLedger } from './ledger/redis-ledger.ts';
import { createDetectorTelemetry } from './telemetry.ts';

const name = 'hydrant-crashloop-detector';
const schema = {
  ...ruleSettings,
  ...inputSettings,
  ...outputSettings,
  SINK_TYPE: sinkTypeSetting(sinkTypes),
  ...amqpSettings,
  ...redisSettings,
  ...commonSettings({ httpPort: 9403 }),
} as const satisfies Schema;

interface Output {
  readonly alertPublisher: AlertPublisher;
  readonly components: readonly Component[];
  readonly healthChecks: readonly HealthCheck[];
}

/** The sink that `SINK_TYPE` names, unless alerts go to RabbitMQ, which the bus does itself. */
function findAlertSink(type: string) {
  return type === 'amqp' || type === 'rabbitmq' ? undefined : findSink(type);
}

function makeOutput(config: Values<typeof schema>, bus: Bus, { log, clock }: ServiceContext): Output {
  const definition = findAlertSink(config.SINK_TYPE);
  if (definition !== undefined) {
    const sink = definition.create(config, { log, name: config.SINK_TYPE });
    const publisher = new SinkAlertPublisher({ sink, timeoutMs: config.SINK_TIMEOUT, log, clock });
    return { alertPublisher: publisher, components: [publisher], healthChecks: [publisher.healthCheck] };
  }
  if (config.SINK_AMQP_CONNECTION === null && config.SINK_AMQP_EXCHANGE === null) {
    return { alertPublisher: createBusAlertPublisher(bus), components: [], healthChecks: [] };
  }
  const urls = config.SINK_AMQP_CONNECTION === null ? config.AMQP_CONNECTION : [config.SINK_AMQP_CONNECTION];
  const alertBus = createAmqpBus({ urls, exchange: config.SINK_AMQP_EXCHANGE ?? config.AMQP_EXCHANGE, connectionName: `${name} alerts`, log, clock });
  const healthChecks = alertBus.healthChecks.map((check) => ({ name: `alert-${check.name}`, check: () => check.check() }));
  return { alertPublisher: createBusAlertPublisher(alertBus), components: [alertBus], healthChecks };
}

await runService({
  name,
  version,
  schema: (lookup: Lookup): typeof schema => ({ ...findAlertSink(lookup('SINK_TYPE') ?? 'amqp')?.settings, ...schema }),
  input: (_env, lookup: Lookup) => ({ check: (values) => findAlertSink(lookup('SINK_TYPE') ?? 'amqp')?.check?.(values) ?? [] }),
  create(config, context) {
    const { log, metrics, clock } = context;
    const { AMQP_CONNECTION: urls, AMQP_EXCHANGE: exchange, AMQP_QUEUE_MAX_BYTES: queueMaxBytes } = config;
    const redis = createRedisClient({ url: config.REDIS_URL, keyPrefix: config.REDIS_KEY_PREFIX, log });
    const bus = createAmqpBus({ urls, exchange, connectionName: name, log, clock, ...(queueMaxBytes === null ? {} : { queueMaxBytes }) });
    const output = makeOutput(config, bus, context);
    const detector = createCrashloopDetector({
      options: readDetectorOptions(config), bus, ledger: createRedisLedger(redis), alertPublisher: output.alertPublisher,
      telemetry: createDetectorTelemetry({ metrics, log }), log, clock,
    });
    return {
      components: [redis, bus, ...output.components, detector],
      healthChecks: [...bus.healthChecks, redis.healthCheck, ...output.healthChecks],
    };
  },
});
