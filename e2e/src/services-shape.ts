/**
 * The suite as three services with its own RabbitMQ and Redis: firehose, sink-workers for events and alerts, crash-loop detector.
 */
import { startPrivateRabbitMq } from '@hydrant/testing/private-rabbitmq';
import { startPrivateRedis } from '@hydrant/testing/private-redis';
import { createServiceProcess, runCommand, type ServiceProcess } from './service-process.ts';
import type { Server, ServerName, Shape, ShapeOptions } from './shape.ts';

async function createSinkWorker(name: string, settings: Readonly<Record<string, string>>): Promise<ServiceProcess> {
  return createServiceProcess('sink-worker', { SINK_NAME: name, SINK_BATCH_AGE: '100ms', SINK_RETRY_MAX: '1s', ...settings });
}

function makeServer(name: ServerName, server: Omit<Server, 'name' | 'restart'>): Server {
  return {
    name,
    kill: () => server.kill(),
    stop: () => server.stop(),
    start: () => server.start(),
    freeze: () => { server.freeze(); },
    thaw: () => { server.thaw(); },
    async restart() {
      await server.kill();
      await server.start();
    },
  };
}

export async function startServices(options: ShapeOptions): Promise<Shape> {
  const broker = await startPrivateRabbitMq({ exclusive: true });
  const redis = await startPrivateRedis();
  const route = options.route ?? ((_, port) => Promise.resolve(port));
  const bus = { AMQP_CONNECTION: broker.urlAt(await route('RabbitMQ', broker.port)) };
  const state = { REDIS_URL: redis.urlAt(await route('Redis', redis.port)) };
  const http = { ...bus, SINK_TYPE: 'http', SINK_HTTP_FORMAT: 'ndjson' };
  const ofFirehose = { ...bus, ...state, NOMAD_ADDR: options.nomadUrl, ...options.firehose };
  const firehose = await createServiceProcess('firehose', ofFirehose);
  const secondFirehose = await createServiceProcess('firehose', { ...ofFirehose, ...options.secondFirehose });
  const events = { ...http, SINK_NAME: 'http', SINK_HTTP_ADDRESS: `${options.collectorUrl}/events`, ...options.sink };
  const worker = await createSinkWorker('http', events);
  const alerts = await createSinkWorker('alerts', { ...http, SINK_HTTP_ADDRESS: `${options.collectorUrl}/alerts`, AMQP_BINDINGS: 'crash-loop' });
  const archive = options.s3 === undefined ? [] : [await createSinkWorker('archive', { ...bus, ...options.s3, SINK_TYPE: 's3' })];
  const detectors = await Promise.all(Array.from({ length: options.detectors ?? 1 }, () => createServiceProcess('crashloop-detector', { ...bus, ...state, ...options.detector })));
  const consumers = [worker, alerts, ...archive, ...detectors];
  const processes = [firehose, ...consumers];

  return {
    name: 'three services',
    source: firehose,
    worker,
    detectors,
    processes,
    secondSource: secondFirehose,
    redisUrl: redis.url,
    brokerUrl: broker.url,
    servers: [
      makeServer('RabbitMQ', broker),
      makeServer('Redis', redis),
    ],
    async start() {
      await Promise.all(consumers.map((process) => process.start()));
      await firehose.start();
    },
    command: (...args) => runCommand('sink-worker', events, args),
    async redeliveries() {
      const counters = await broker.ctl('eval', 'rabbit_global_counters:overview().');
      return [...counters.matchAll(/messages_redelivered_total\s*=>\s*(\d+)/gu)].reduce((sum, [, count]) => sum + Number(count), 0);
    },
    async stop() {
      const codes = [await firehose.stop()];
      codes.push(...(await Promise.all(consumers.map((process) => process.stop()))));
      return codes;
    },
    async close() {
      await Promise.all([...processes, secondFirehose].map((process) => process.kill()));
      await Promise.all([broker.close(), redis.close()]);
    },
  };
}
