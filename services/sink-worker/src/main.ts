#!/usr/bin/env node
/** The sink-worker's process: one queue of RabbitMQ to one destination. */
import { createAmqpBus } from '@hydrant/shared/bus/amqp/amqp-bus';
import { runService } from '@hydrant/shared/runtime/run-service';
import { version } from '@hydrant/shared/runtime/version';
import { resolveSink, sinkProblems, sinkWorkerSettings, typeProblems, withSinkSettings } from './config.ts';
import { createSinkWorker } from './sink-worker.ts';

await runService({
  name: 'hydrant-sink-worker',
  version,
  schema: (lookup) => withSinkSettings(sinkWorkerSettings, lookup('SINK_TYPE')),
  input: (_env, lookup) => ({
    problems: typeProblems(lookup('SINK_TYPE'), 'environment or CONFIG_FILE'),
    check: (values) => sinkProblems(lookup('SINK_TYPE'), values),
  }),
  create(config, { log, metrics, clock }) {
    const { definition, worker } = resolveSink(config);
    const bus = createAmqpBus({
      urls: config.AMQP_CONNECTION,
      exchange: config.AMQP_EXCHANGE,
      connectionName: `hydrant-sink-worker ${worker.delivery.name}`,
      ...(config.AMQP_QUEUE_MAX_BYTES === null ? {} : { queueMaxBytes: config.AMQP_QUEUE_MAX_BYTES }),
      log,
      clock,
    });
    const sink = definition.create(config, { log, name: worker.delivery.name });
    const sinkWorker = createSinkWorker(worker, { bus, sink, log, metrics, clock });
    return { components: [bus, sinkWorker], healthChecks: [...bus.healthChecks, ...sinkWorker.healthChecks] };
  },
});
