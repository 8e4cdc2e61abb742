#!/usr/bin/env -S node --max-semi-space-size=4
/** The sink-worker's process: one queue of RabbitMQ to one destination. */
import { amqpAddressProblems } from '@hydrant/shared/bus/amqp/amqp-address';
import { createAmqpBus } from '@hydrant/shared/bus/amqp/amqp-bus';
import { examineBus } from '@hydrant/shared/bus/examine-bus';
import { createAmqpDeadLetters } from '@hydrant/shared/bus/amqp/amqp-dead-letters';
import { createAmqpQueueAdmin } from '@hydrant/shared/bus/amqp/amqp-queue-admin';
import { deadLetterQueueName } from '@hydrant/shared/bus/amqp/topology';
import { examineSink } from '@hydrant/shared/delivery/examine-sink';
import { chooseExample, readSendTestRequest, sendTest, sendTestHelp } from '@hydrant/shared/delivery/send-test';
import { connectionProblems } from '@hydrant/shared/runtime/config/common-settings';
import type { Values } from '@hydrant/shared/runtime/config/setting';
import { doctorCommand } from '@hydrant/shared/runtime/doctor';
import { createLineWriter } from '@hydrant/shared/runtime/line-writer';
import { runService, type Command, type ServiceContext } from '@hydrant/shared/runtime/run-service';
import { readTlsOptions } from '@hydrant/shared/runtime/tls/tls-settings';
import { version } from '@hydrant/shared/runtime/version';
import { allSinkSettings } from '@hydrant/sinks/registry';
import { resolveSink, sinkProblems, sinkWorkerSettings, typeProblems, withSinkSettings } from './config.ts';
import { runDeadLetters, withDeadLetterRequest } from './dead-letters/dead-letters-command.ts';
import { deadLettersUsage } from './dead-letters/request.ts';
import { findQueueName } from './queue-name.ts';
import { readRemovalRequest, removeQueueHelp, removeQueues } from './remove-queue.ts';
import { createSinkWorker } from './sink-worker.ts';

type Config = Values<typeof sinkWorkerSettings>;

const name = 'hydrant-sink-worker';

function amqpOptions(config: Config, purpose: string, { log, clock }: ServiceContext) {
  return {
    urls: config.AMQP_CONNECTION,
    tls: readTlsOptions(config, 'AMQP'),
    connectionName: `${name} ${purpose}`,
    log,
    clock,
  };
}

const doctor = doctorCommand<typeof sinkWorkerSettings>((config, context) => {
  const {
    definition,
    worker: { queue, delivery },
  } = resolveSink(config);
  const { log, clock } = context;
  const exchange = config.AMQP_EXCHANGE;
  return [
    examineBus(createAmqpBus({ ...amqpOptions(config, 'doctor', context), exchange }), {
      subject: 'rabbitmq',
      exchange,
      queues: [{ name: queue, isOwn: true }],
      clock,
    }),
    examineSink(`sink ${delivery.name}`, definition.create(config, { log, name: delivery.name })),
  ];
});

const commands: readonly Command<typeof sinkWorkerSettings>[] = [
  doctor,
  {
    name: 'dead-letters',
    doc: 'list, replay or drop what could not be delivered; `dead-letters --help` tells how.',
    help: deadLettersUsage,
    requiresSettings: false,
    run: (config, context) =>
      withDeadLetterRequest(context, async (request, output) => {
        const queue = findQueueName(request.queue, config);
        const store = createAmqpDeadLetters({ ...amqpOptions(config, 'dead-letters', context), queue });
        await runDeadLetters(request, [{ queue, store }], output);
      }),
  },
  {
    name: 'send-test',
    doc: 'Sends one example to the sink and says what came back; with --resolved the end of the example alert.',
    help: sendTestHelp,
    async run(config, context) {
      const { isResolved } = readSendTestRequest(context.args);
      const { definition, worker } = resolveSink(config);
      const sink = definition.create(config, { log: context.log, name: worker.delivery.name });
      const sentence = await sendTest(sink, chooseExample(worker.bindings, isResolved, context.clock.now()), {
        ...worker.delivery,
        ...context,
      });
      await createLineWriter(process.stdout).write([sentence]);
    },
  },
  {
    name: 'remove-queue',
    doc: 'Removes the queue of a sink that is gone (--queue NAME), with --force also one that is in use or not empty.',
    help: removeQueueHelp,
    requiresSettings: false,
    async run(config, context) {
      const { queue: given, isForced } = readRemovalRequest(context.args);
      const queue = findQueueName(given, config);
      const admin = createAmqpQueueAdmin(amqpOptions(config, 'remove-queue', context));
      await removeQueues([queue, deadLetterQueueName(queue)], isForced, {
        admin,
        out: createLineWriter(process.stdout),
        signal: context.signal,
      });
    },
  },
];

await runService({
  name,
  version,
  schema: (lookup) => withSinkSettings(sinkWorkerSettings, lookup('SINK_TYPE')),
  input: (_env, lookup) => ({
    otherSettings: allSinkSettings,
    problems: typeProblems(lookup('SINK_TYPE'), 'environment or CONFIG_FILE'),
    // n.b. the sink `amqp` may use the same addresses.
    check: (values) => [
      ...new Set([
        ...connectionProblems(values),
        ...amqpAddressProblems(values, 'AMQP'),
        ...sinkProblems(lookup('SINK_TYPE'), values),
      ]),
    ],
  }),
  create(config, context) {
    const { log, metrics, clock } = context;
    const { definition, worker } = resolveSink(config);
    const bus = createAmqpBus({
      ...amqpOptions(config, worker.delivery.name, context),
      exchange: config.AMQP_EXCHANGE,
      ...(config.AMQP_QUEUE_MAX_BYTES === null ? {} : { queueMaxBytes: config.AMQP_QUEUE_MAX_BYTES }),
    });
    const sink = definition.create(config, { log, name: worker.delivery.name });
    const sinkWorker = createSinkWorker(worker, { bus, sink, log, metrics, clock });
    return { components: [bus, sinkWorker], healthChecks: [...bus.healthChecks, ...sinkWorker.healthChecks] };
  },
  commands,
});
