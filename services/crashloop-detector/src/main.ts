#!/usr/bin/env -S node --max-semi-space-size=4 --max-old-space-size=512
/** The detector as a process: names the adapters (RabbitMQ, Redis, the destination of alerts) and runs. */
import { amqpAddressProblems } from '@hydrant/shared/bus/amqp/amqp-address';
import { createAmqpBus } from '@hydrant/shared/bus/amqp/amqp-bus';
import type { Bus } from '@hydrant/shared/bus/bus';
import { examineBus } from '@hydrant/shared/bus/examine-bus';
import { deliverySettings } from '@hydrant/shared/delivery/delivery-settings';
import { examineSink } from '@hydrant/shared/delivery/examine-sink';
import { sendTest, readSendTestRequest, sendTestHelp } from '@hydrant/shared/delivery/send-test';
import { makeExampleAlert } from '@hydrant/shared/messages/example-messages';
import { examineRedis } from '@hydrant/shared/redis/examine-redis';
import { createRedisClient, readRedisOptions } from '@hydrant/shared/redis/redis-client';
import { createRedisStateStore } from '@hydrant/shared/state/redis/redis-state-store';
import {
  amqpSettings,
  commonSettings,
  connectionProblems,
  redisSettings,
} from '@hydrant/shared/runtime/config/common-settings';
import type { Schema, Values } from '@hydrant/shared/runtime/config/setting';
import type { HealthCheck } from '@hydrant/shared/runtime/admin/health';
import type { Component } from '@hydrant/shared/runtime/component';
import { doctorCommand, type Examination } from '@hydrant/shared/runtime/doctor';
import { createLineWriter } from '@hydrant/shared/runtime/line-writer';
import { runService, type CommandContext, type Lookup, type ServiceContext } from '@hydrant/shared/runtime/run-service';
import { tlsProblems } from '@hydrant/shared/runtime/tls/read-tls';
import { readTlsOptions } from '@hydrant/shared/runtime/tls/tls-settings';
import { version } from '@hydrant/shared/runtime/version';
import { allSinkSettings, findSink, sinkTypes } from '@hydrant/sinks/registry';
import type { AlertPublisher } from './alerts/alert-publisher.ts';
import { fillRoutingKey } from './alerts/build-alert.ts';
import { createBusAlertPublisher } from './alerts/bus-alert-publisher.ts';
import { sendTestAlert } from './alerts/send-test-alert.ts';
import { SinkAlertPublisher } from './alerts/sink-alert-publisher.ts';
import {
  checkBindings,
  inputSettings,
  outputSettings,
  pageSettings,
  readDetectorOptions,
  readRules,
  rulesFileProblems,
  ruleSettings,
  sinkTypeSetting,
} from './config.ts';
import { createCrashloopDetector } from './crashloop-detector.ts';
import { explain } from './explain/explain-command.ts';
import { detectorRedisNeeds } from './ledger/redis-needs.ts';
import { createLedger, stateLimits } from './ledger/state-ledger.ts';
import { createCrashLoopsPage } from './page/crash-loops-page.ts';
import { createOutlook, quietAfter } from './page/outlook.ts';
import { createDetectorTelemetry } from './telemetry.ts';

const name = 'hydrant-crashloop-detector';
const schema = {
  ...ruleSettings,
  ...inputSettings,
  ...outputSettings,
  ...pageSettings,
  SINK_TYPE: sinkTypeSetting(sinkTypes),
  ...amqpSettings,
  ...redisSettings,
  ...commonSettings({ httpPort: 9403 }),
} as const satisfies Schema;

/** For whoever runs the detector without anybody who takes its alerts. */
const destinationAdvice =
  'bind a queue to its routing key, as a sink-worker with `SINK_TYPE=slack` does, or set `SINK_TYPE` here';

interface Output {
  readonly alertPublisher: AlertPublisher;
  readonly components: readonly Component[];
  readonly healthChecks: readonly HealthCheck[];
}

/** The sink that `SINK_TYPE` names, unless alerts go to RabbitMQ, which the bus does itself. */
function findAlertSink(type: string) {
  return type === 'amqp' || type === 'rabbitmq' ? undefined : findSink(type);
}

/** False: alerts go to where events come from. */
function hasAlertExchange({ SINK_AMQP_CONNECTION: own, SINK_AMQP_EXCHANGE: exchange }: Values<typeof schema>): boolean {
  return own !== null || exchange !== null;
}

/** Where alerts go in RabbitMQ. */
function readAlertExchange(config: Values<typeof schema>) {
  const { SINK_AMQP_CONNECTION: own, SINK_AMQP_EXCHANGE: exchange } = config;
  return {
    urls: own ?? config.AMQP_CONNECTION,
    tls: readTlsOptions(config, own === null ? 'AMQP' : 'SINK_AMQP'),
    exchange: exchange ?? config.AMQP_EXCHANGE,
  };
}

function makeOutput(config: Values<typeof schema>, bus: Bus, context: ServiceContext): Output {
  const { log, clock } = context;
  const definition = findAlertSink(config.SINK_TYPE);
  if (definition !== undefined) {
    const sink = definition.create(config, { log, name: config.SINK_TYPE });
    const publisher = new SinkAlertPublisher({ sink, timeoutMs: config.SINK_TIMEOUT, log, clock });
    return { alertPublisher: publisher, components: [publisher], healthChecks: [publisher.healthCheck] };
  }
  if (!hasAlertExchange(config))
    return { alertPublisher: createBusAlertPublisher(bus), components: [], healthChecks: [] };
  const alertBus = createAmqpBus({ ...readAlertExchange(config), connectionName: `${name} alerts`, log, clock });
  const healthChecks = alertBus.healthChecks.map((check) => ({
    name: `alert-${check.name}`,
    check: () => check.check(),
  }));
  return { alertPublisher: createBusAlertPublisher(alertBus), components: [alertBus], healthChecks };
}

/** Where alerts go, unless it is the exchange that events come from. */
function examineOutput(config: Values<typeof schema>, { log, clock }: ServiceContext): readonly Examination[] {
  const definition = findAlertSink(config.SINK_TYPE);
  if (definition !== undefined)
    return [examineSink(`sink ${config.SINK_TYPE}`, definition.create(config, { log, name: config.SINK_TYPE }))];
  if (!hasAlertExchange(config)) return [];
  const alertExchange = readAlertExchange(config);
  const alertBus = createAmqpBus({ ...alertExchange, connectionName: `${name} doctor`, log, clock });
  return [
    examineBus(alertBus, { subject: 'rabbitmq for alerts', exchange: alertExchange.exchange, queues: [], clock }),
  ];
}

const doctor = doctorCommand<typeof schema>((config, context) => {
  const { log, clock } = context;
  const { AMQP_CONNECTION: urls, AMQP_EXCHANGE: exchange, AMQP_QUEUE: queue } = config;
  const bus = createAmqpBus({
    urls,
    tls: readTlsOptions(config, 'AMQP'),
    exchange,
    connectionName: `${name} doctor`,
    log,
    clock,
  });
  return [
    examineBus(bus, { subject: 'rabbitmq', exchange, queues: [{ name: queue, isOwn: true }], clock }),
    examineRedis(createRedisClient({ ...readRedisOptions(config), log }), detectorRedisNeeds, clock),
    ...examineOutput(config, context),
  ];
});

async function sendExample(config: Values<typeof schema>, context: CommandContext): Promise<void> {
  const { log, clock, signal } = context;
  const { isResolved } = readSendTestRequest(context.args);
  const alert = makeExampleAlert(clock.now(), isResolved ? 'resolved' : 'opened');
  const { alertRoutingKey, resolvedRoutingKey } = readDetectorOptions(config);
  const definition = findAlertSink(config.SINK_TYPE);
  const bus = createAmqpBus({ ...readAlertExchange(config), connectionName: `${name} send-test`, log, clock });
  const sentence =
    definition === undefined
      ? await sendTestAlert(
          bus,
          {
            ...alert,
            routingKey: fillRoutingKey(isResolved ? resolvedRoutingKey : alertRoutingKey, {
              namespace: 'default',
              job: 'hydrant-send-test',
            }),
          },
          { clock, signal },
        )
      : await sendTest(definition.create(config, { log, name: config.SINK_TYPE }), alert, {
          name: config.SINK_TYPE,
          timeoutMs: config.SINK_TIMEOUT,
          clock,
          signal,
        });
  await createLineWriter(process.stdout).write([sentence]);
}

await runService({
  name,
  version,
  schema: (lookup: Lookup): typeof schema => ({ ...findAlertSink(lookup('SINK_TYPE') ?? 'amqp')?.settings, ...schema }),
  input: (_env, lookup: Lookup) => ({
    check: (values) => [
      ...connectionProblems(values),
      ...['AMQP', 'SINK_AMQP'].flatMap((prefix) => amqpAddressProblems(values, prefix)),
      ...tlsProblems(readTlsOptions(values, 'SINK_AMQP')),
      ...checkBindings(values['AMQP_BINDINGS'] as readonly string[]),
      ...(findAlertSink(lookup('SINK_TYPE') ?? 'amqp')?.check?.(values) ?? []),
    ],
    otherSettings: { ...deliverySettings, ...allSinkSettings },
    problems: rulesFileProblems(lookup('DETECTOR_RULES_FILE')),
  }),
  create(config, context) {
    const { log, metrics, clock } = context;
    const { AMQP_CONNECTION: urls, AMQP_EXCHANGE: exchange, AMQP_QUEUE_MAX_BYTES: queueMaxBytes } = config;
    const redis = createRedisClient({ ...readRedisOptions(config), log });
    const bus = createAmqpBus({
      urls,
      tls: readTlsOptions(config, 'AMQP'),
      exchange,
      connectionName: name,
      log,
      clock,
      ...(queueMaxBytes === null ? {} : { queueMaxBytes }),
    });
    const output = makeOutput(config, bus, context);
    const store = createRedisStateStore({
      redis,
      name: 'detector',
      limits: stateLimits(config.DETECTOR_MAX_LINEAGES),
      clock,
    });
    const ledger = createLedger({ store, clock });
    const rules = readRules(config);
    const outlook = createOutlook({
      connections: [{ name: 'RabbitMQ', checks: bus.healthChecks }],
      quietAfterMs: quietAfter(rules.rule),
      clock,
    });
    const detector = createCrashloopDetector({
      options: readDetectorOptions(config),
      bus,
      ledger,
      alertPublisher: output.alertPublisher,
      telemetry: createDetectorTelemetry({ metrics, log, destinationAdvice }),
      outlook,
      log,
      clock,
    });
    const page = createCrashLoopsPage({ ledger, rules, nomadUiUrl: config.NOMAD_UI_URL, outlook, log, clock });
    return {
      routes: [page.routes],
      components: [redis, bus, outlook, page, ...output.components, detector],
      healthChecks: [...bus.healthChecks, redis.healthCheck, ...output.healthChecks],
    };
  },
  commands: [
    doctor,
    {
      name: 'send-test',
      doc: 'Sends an example alert to where alerts go and says what came back; with --resolved the end of it.',
      help: sendTestHelp,
      run: sendExample,
    },
    {
      name: 'explain',
      help: '  <file>  events, one a line, as `hydrant tail --json` prints them; "-": stdin',
      doc: 'Says of the events in a file, or on stdin with "-", what would be counted and announced, and why.',
      run: (config, { args, signal }) =>
        explain(
          { rules: readRules(config), groupBy: config.DETECTOR_GROUP_BY },
          { args, stdin: process.stdin, stdout: process.stdout, signal },
        ),
    },
  ],
});
