/**
 * The suite as three services with its own RabbitMQ and Redis: firehose, sink-workers for events and alerts, crash-loop detector.
 */
import { startPrivateRabbitMq } from '@hydrant/testing/private-rabbitmq';
import { startPrivateRedis } from '@hydrant/testing/private-redis';
import { createServiceProcess, type ServiceProcess } from './service-process.ts';
import type { Shape, ShapeOptions } from './shape.ts';

async function createSinkWorker(name: string, settings: Readonly<Record<string, string>>): Promise<ServiceProcess> {
  return createServiceProcess('sink-worker', { SINK_NAME: name, SINK_BATCH_AGE: '100ms', SINK_RETRY_MAX: '1s', ...settings });
}

export async function startServices(options: ShapeOptions): Promise<Shape> {
  const broker = await startPrivateRabbitMq({ exclusive: true });
  const redis = await startPrivateRedis();
  const bus = { AMQP_CONNECTION: broker.url };
  const http = { ...bus, SINK_TYPE: 'http', SINK_HTTP_FORMAT: 'ndjson' };
  const firehose = await createServiceProcess('firehose', { ...bus, REDIS_URL: redis.url, NOMAD_ADDR: options.nomadUrl, ...options.firehose });
  const worker = await createSinkWorker('http', { ...http, SINK_HTTP_ADDRESS: `${options.collectorUrl}/events` });
  const alerts = await createSinkWorker('alerts', { ...http, SINK_HTTP_ADDRESS: `${options.collectorUrl}/alerts`, AMQP_BINDINGS: 'crash-loop' });
  const archive = options.s3 === undefined ? [] : [await createSinkWorker('archive', { ...bus, ...options.s3, SINK_TYPE: 's3' })];
  const detector = await createServiceProcess('crashloop-detector', { ...bus, REDIS_URL: redis.url, ...options.detector });
  const consumers = [worker, alerts, ...archive, detector];
  const processes = [firehose, ...consumers];

  return {
    name: 'three services',
    source: firehose,
    processes,
    servers: [
      { name: 'RabbitMQ', async restart() { await broker.kill(); await broker.start(); } },
      { name: 'Redis', async restart() { await redis.kill(); await redis.start(); } },
    ],
    async start() {
      await Promise.all(consumers.map((process) => process.start()));
      await firehose.start();
    },
    async stop() {
      const codes = [await firehose.stop()];
      codes.push(...(await Promise.all(consumers.map((process) => process.stop()))));
      return codes;
    },
    async close() {
      await Promise.all(processes.map((process) => process.kill()));
      await Promise.all([broker.close(), redis.close()]);
    },
  };
}
