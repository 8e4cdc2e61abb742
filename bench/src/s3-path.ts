/**
 * A full quorum queue → sink-worker → an S3 server with the sink's own defaults. What counts is the size of the
 * objects; the events per second are for reading.
 */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { startPrivateRabbitMq } from '@hydrant/testing/private-rabbitmq';
import { startPrivateRedis } from '@hydrant/testing/private-redis';
import { fillQueues } from './broker.ts';
import { measureBareForwarder } from './destination.ts';
import { secondsUntil, type Measurement, type Path } from './measure.ts';
import { freePort, startService } from './service.ts';

interface S3rver {
  run(): Promise<{ port: number }>;
  close(): Promise<void>;
}

const events = 24_000;
const fullObjects = 6;
const batchBytes = 16 * 1024 * 1024;
const tolerance = 0.05;
const bucket = 'nomad-events';

async function startS3() {
  const directory = await mkdtemp(join(tmpdir(), 'hydrant-bench-s3-'));
  const Server = createRequire(import.meta.url)('@20minutes/s3rver') as new (
    options: Readonly<Record<string, unknown>>,
  ) => S3rver;
  const server = new Server({
    port: 0,
    address: '127.0.0.1',
    silent: true,
    directory,
    configureBuckets: [{ name: bucket }],
  });
  const { port } = await server.run();
  const list = async (): Promise<readonly string[]> =>
    (await readdir(join(directory, bucket), { recursive: true })).filter((file) => file.endsWith('._S3rver_object'));
  return {
    url: `http://127.0.0.1:${String(port)}`,
    count: async () => (await list()).length,
    objects: async () =>
      Promise.all((await list()).map(async (file) => gunzipSync(await readFile(join(directory, bucket, file))))),
    async close() {
      await server.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** Throws when one of them is further from `SINK_BATCH_BYTES` than the tolerance. */
function checkSizes(objects: readonly Buffer[]): void {
  const sizes = objects.map((object) => object.length / batchBytes).sort((a, b) => a - b);
  const range = `${(sizes[0] ?? 0).toFixed(3)}–${(sizes.at(-1) ?? 0).toFixed(3)}`;
  process.stdout.write(`  s3: ${String(sizes.length)} objects of ${range} times SINK_BATCH_BYTES before compression\n`);
  if (sizes.some((size) => Math.abs(size - 1) > tolerance))
    throw new Error(
      `Expected every object to be within ${String(tolerance * 100)} % of SINK_BATCH_BYTES, got ${range} times`,
    );
}

async function measure(): Promise<Measurement> {
  const [broker, redis, s3] = await Promise.all([
    startPrivateRabbitMq({ exclusive: true }),
    startPrivateRedis(),
    startS3(),
  ]);
  const settings = {
    AMQP_CONNECTION: broker.url,
    SINK_TYPE: 's3',
    SINK_S3_BUCKET: bucket,
    SINK_S3_ENDPOINT: s3.url,
    SINK_S3_REGION: 'us-east-1',
    SINK_S3_FORCE_PATH_STYLE: 'true',
    AWS_ACCESS_KEY_ID: 'S3RVER',
    AWS_SECRET_ACCESS_KEY: 'S3RVER',
  };
  // The first makes the queue.
  await (await startService('hydrant-sink-worker', await freePort(), settings)).stop();
  await fillQueues(broker.url, redis.url, events);
  const startedAt = performance.now();
  const worker = await startService('hydrant-sink-worker', await freePort(), settings);
  const seconds = await secondsUntil(fullObjects, startedAt, s3.count);
  const [peak, cpu] = [await worker.peakMemory(), await worker.cpuSeconds()];
  const objects = (await s3.objects()).slice(0, fullObjects);
  checkSizes(objects);
  const stored = objects.reduce((sum, object) => sum + object.filter((byte) => byte === 0x0a).length, 0);
  await worker.stop();
  await Promise.all([broker.close(), redis.close(), s3.close()]);
  return {
    eventsPerSecond: stored / seconds,
    peakMemory: { 'sink-worker (s3)': peak },
    cpuSecondsPer100k: (cpu / stored) * 100_000,
  };
}

export function createS3Path(): Path {
  return {
    name: 's3',
    target: 0,
    floorName: 'bare forwarder',
    measure,
    measureFloor: () => measureBareForwarder(events),
  };
}
