/**
 * The broker is killed and stays away while events go on coming: what the spool folder holds, what is lost, and how
 * soon the firehose has caught up.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startPrivateRabbitMq } from '@hydrant/testing/private-rabbitmq';
import { startPrivateRedis } from '@hydrant/testing/private-redis';
import { bindQueue } from './broker.ts';
import { startDrain, type Drain } from './drain.ts';
import { startLoad, type Load } from './load.ts';
import { pause, readMetrics, type Figure, type FigureSource } from './measure.ts';
import { freePort, startService } from './service.ts';
import { whenRead } from './steady.ts';

const perSecond = 2000;
const megabyte = 1_000_000;
const before = 10;
/** Catching up is given up after so long. */
const limitSeconds = 180;
/** Half a second of the load: no further behind than one that was never away may be. */
const caughtUpEvents = perSecond / 2;
const bufferSize = 20_000;

/** Seconds since `upAt`; undefined when it never was. */
async function secondsToCatchUp(load: Load, port: number, upAt: number): Promise<number | undefined> {
  for (;;) {
    const [state, metric] = await Promise.all([load.state(), readMetrics(port)]);
    const seconds = (performance.now() - upAt) / 1000;
    if (state.events - metric('hydrant_firehose_events_published_total') <= caughtUpEvents) return seconds;
    if (seconds > limitSeconds) return undefined;
    await pause(250);
  }
}

async function whenAllArrived(
  load: Load,
  drain: Drain,
): Promise<{ readonly missing: number; readonly repeats: number }> {
  const { events } = await load.state();
  for (const limit = performance.now() + 60_000; ; await pause(250)) {
    const { distinct, received } = await drain.state();
    if (distinct >= events || performance.now() > limit)
      return { missing: events - distinct, repeats: received - distinct };
  }
}

async function measure(awaySeconds: number): Promise<readonly Figure[]> {
  const folder = await mkdtemp(join(tmpdir(), 'hydrant-bench-'));
  const [broker, redis, load] = await Promise.all([
    startPrivateRabbitMq({ exclusive: true }),
    startPrivateRedis(),
    startLoad(Infinity, { perSecond, bufferSize }),
  ]);
  const queue = await bindQueue(broker.url, 'bench');
  await queue.leave();
  const drain = await startDrain(broker.url, 'bench');
  const port = await freePort();
  const firehose = await startService('hydrant-firehose', port, {
    AMQP_CONNECTION: broker.url,
    REDIS_URL: redis.url,
    NOMAD_ADDR: load.url,
    FIREHOSE_TOPICS: 'Allocation',
    FIREHOSE_SPOOL_DIR: join(folder, 'spool'),
    FIREHOSE_SPOOL_MAX_BYTES: '2GiB',
  });
  await whenRead(load);
  await load.begin();
  await pause(before * 1000);
  await broker.kill();
  await pause(awaySeconds * 1000);
  const spooled = (await readMetrics(port))('hydrant_firehose_spool_bytes');
  const bootedAt = performance.now();
  await broker.start();
  const upAt = performance.now();
  const seconds = await secondsToCatchUp(load, port, upAt);
  await load.pause();
  const { missing, repeats } = await whenAllArrived(load, drain);
  const gaps = (await readMetrics(port))('hydrant_firehose_gaps_total');
  const peakMemory = await firehose.peakMemory();
  await firehose.stop();
  await Promise.all([load.stop(), drain.stop()]);
  await Promise.all([broker.close(), redis.close()]);
  await rm(folder, { recursive: true, force: true });
  return [
    { name: 'events missing', value: missing, unit: 'events', atMost: 0 },
    { name: 'gaps', value: gaps, unit: 'gaps', atMost: 0 },
    { name: 'caught up after', value: seconds ?? NaN, unit: 's', atMost: 60 },
    { name: 'start of the broker', value: (upAt - bootedAt) / 1000, unit: 's' },
    { name: 'in the spool folder', value: spooled / megabyte, unit: 'MB' },
    { name: 'repeats', value: repeats, unit: 'messages' },
    { name: 'firehose VmHWM', value: peakMemory / megabyte, unit: 'MB', atMost: 150 },
  ];
}

export function createBrokerAway(seconds = 60): FigureSource {
  return {
    name: 'broker-away',
    what: `the broker killed for ${String(seconds)} s and started again while ${perSecond.toLocaleString('en-US')} events/s go on, with FIREHOSE_SPOOL_DIR; caught up is counted from when the broker answers again`,
    measure: () => measure(seconds),
  };
}
