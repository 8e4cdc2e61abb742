/**
 * The suite as three services: firehose, sink-workers for events and alerts, crash-loop detector.
 */
import { startOneRabbitMq, startOneRedis, type Backends } from './backends.ts';
import { createServiceProcess, runCommand, type ServiceProcess } from './service-process.ts';
import type { Shape, ShapeOptions } from './shape.ts';

async function createSinkWorker(name: string, settings: Readonly<Record<string, string>>): Promise<ServiceProcess> {
  return createServiceProcess('sink-worker', {
    SINK_NAME: name,
    SINK_BATCH_AGE: '100ms',
    SINK_RETRY_MAX: '1s',
    ...settings,
  });
}

/** Without `backends`, with a RabbitMQ and a Redis of its own. They are closed with it. */
export async function startServices(options: ShapeOptions, backends?: Backends): Promise<Shape> {
  const { broker, stateStore } = backends ?? {
    broker: await startOneRabbitMq(options.route),
    stateStore: await startOneRedis(options.route),
  };
  const state = stateStore.settings;
  const http = { SINK_TYPE: 'http', SINK_HTTP_FORMAT: 'ndjson' };
  const ofFirehose = { ...broker.settings(), ...state, NOMAD_ADDR: options.nomadUrl, ...options.firehose };
  const firehose = await createServiceProcess('firehose', ofFirehose);
  const secondFirehose = await createServiceProcess('firehose', { ...ofFirehose, ...options.secondFirehose });
  const events = {
    ...broker.settings(),
    ...http,
    SINK_NAME: 'http',
    SINK_HTTP_ADDRESS: `${options.collectorUrl}/events`,
    ...options.sink,
  };
  const worker = await createSinkWorker('http', events);
  const alerts = await createSinkWorker('alerts', {
    ...broker.settings(),
    ...http,
    SINK_HTTP_ADDRESS: `${options.collectorUrl}/alerts`,
    AMQP_BINDINGS: 'crash-loop',
  });
  const archive =
    options.s3 === undefined
      ? []
      : [await createSinkWorker('archive', { ...broker.settings(), ...options.s3, SINK_TYPE: 's3' })];
  const detectors = await Promise.all(
    Array.from({ length: options.detectors ?? 1 }, () =>
      createServiceProcess('crashloop-detector', { ...broker.settings(), ...state, ...options.detector }),
    ),
  );
  const consumers = [worker, alerts, ...archive, ...detectors];
  const processes = [firehose, ...consumers];

  return {
    name: 'three services',
    source: firehose,
    worker,
    detectors,
    processes,
    secondSource: secondFirehose,
    redisUrl: stateStore.url,
    brokerUrl: broker.url,
    servers: [...broker.servers, ...stateStore.servers],
    async start() {
      await Promise.all(consumers.map((process) => process.start()));
      await firehose.start();
    },
    command: (...args) => runCommand('sink-worker', events, args),
    async redeliveries() {
      const counters = await broker.ctl('eval', 'rabbit_global_counters:overview().');
      return [...counters.matchAll(/messages_redelivered_total\s*=>\s*(\d+)/gu)].reduce(
        (sum, [, count]) => sum + Number(count),
        0,
      );
    },
    async stop() {
      const codes = [await firehose.stop()];
      codes.push(...(await Promise.all(consumers.map((process) => process.stop()))));
      return codes;
    },
    async close() {
      await Promise.all([...processes, secondFirehose].map((process) => process.kill()));
      await Promise.all([broker.close(), stateStore.close()]);
    },
  };
}
