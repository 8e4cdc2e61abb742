/**
 * A steady rate: the simulator offers so many events a second whether or not they are read, the firehose publishes
 * them, and a consumer empties the queue.
 */
import { startPrivateRabbitMq } from '@hydrant/testing/private-rabbitmq';
import { startPrivateRedis } from '@hydrant/testing/private-redis';
import { bindQueue } from './broker.ts';
import { groupCpuSeconds } from './child.ts';
import { startDrain } from './drain.ts';
import { startLoad, type Load } from './load.ts';
import { pause, readMetrics } from './measure.ts';
import { freePort, startService } from './service.ts';

export interface SteadyRate {
  readonly perSecond: number;
  readonly seconds: number;
}

export interface SteadyRun {
  /** What the simulator made in a second. */
  readonly offeredPerSecond: number;
  /** What was confirmed in a second while it was offered. */
  readonly publishedPerSecond: number;
  /** The firehose's own `hydrant_firehose_lag_seconds`, sampled. */
  readonly lagSeconds: readonly number[];
  /** How far what was confirmed is behind what was offered, sampled. */
  readonly behindSeconds: readonly number[];
  readonly peakMemory: number;
  readonly cpuSecondsPer100k: number;
  /** Of one core. */
  readonly cpuShare: number;
  /** Of the broker, events in and out. */
  readonly brokerCpuSecondsPer100k: number;
  /** Offered and, seconds after the end of the offer, not with the consumer. */
  readonly missing: number;
}

const sampleMs = 250;
/** Two seconds of the highest rate: who is further behind has lost. */
const bufferSize = 20_000;
const graceSeconds = 5;

export async function offerSteadily(rate: SteadyRate): Promise<SteadyRun> {
  const total = rate.perSecond * rate.seconds;
  const [broker, redis, load] = await Promise.all([
    startPrivateRabbitMq({ exclusive: true }),
    startPrivateRedis(),
    startLoad(total, { perSecond: rate.perSecond, bufferSize }),
  ]);
  const queue = await bindQueue(broker.url, 'bench');
  const drain = await startDrain(broker.url, 'bench');
  const port = await freePort();
  const firehose = await startService('hydrant-firehose', port, {
    AMQP_CONNECTION: broker.url,
    REDIS_URL: redis.url,
    NOMAD_ADDR: load.url,
    FIREHOSE_TOPICS: 'Allocation',
  });
  await whenRead(load);
  const readCpu = (): Promise<readonly [number, number]> =>
    Promise.all([firehose.cpuSeconds(), groupCpuSeconds(broker.pid ?? NaN)]);
  const cpuBefore = await readCpu();
  const watched = await watch(rate, load, port);
  const cpuAfter = await readCpu();
  const [cpu, brokerCpu] = [cpuAfter[0] - cpuBefore[0], cpuAfter[1] - cpuBefore[1]];
  const graceEnd = performance.now() + graceSeconds * 1000;
  while ((await drain.state()).distinct < total && performance.now() < graceEnd) await pause(100);
  const missing = total - (await drain.state()).distinct;
  const peakMemory = await firehose.peakMemory();
  await firehose.stop();
  await Promise.all([load.stop(), drain.stop(), queue.remove()]);
  await Promise.all([broker.close(), redis.close()]);
  const { offeredPerSecond, publishedPerSecond, lagSeconds, behindSeconds, published, seconds } = watched;
  return {
    offeredPerSecond,
    publishedPerSecond,
    lagSeconds,
    behindSeconds,
    peakMemory,
    missing,
    cpuSecondsPer100k: (cpu / published) * 100_000,
    cpuShare: cpu / seconds,
    brokerCpuSecondsPer100k: (brokerCpu / published) * 100_000,
  };
}

/** Resolves when somebody reads the stream. */
export async function whenRead(load: Load, limitMs = 30_000): Promise<void> {
  for (const limit = performance.now() + limitMs; (await load.state()).clients === 0;) {
    if (performance.now() > limit)
      throw new Error(`Expected the event stream to be read within ${String(limitMs / 1000)} s`);
    await pause(50);
  }
}

interface Sample {
  readonly seconds: number;
  readonly offered: number;
  readonly published: number;
}

/**
 * From the beginning of the offer to its end. Rates are those between the first sample and the last one that came
 * before the end.
 */
async function watch({ perSecond, seconds: limitSeconds }: SteadyRate, load: Load, port: number) {
  const lagSeconds: number[] = [];
  const behindSeconds: number[] = [];
  const startedAt = performance.now();
  let first: Sample | undefined;
  let last: Sample | undefined;
  await load.begin();
  for (;;) {
    await pause(sampleMs);
    const [state, metric] = await Promise.all([load.state(), readMetrics(port)]);
    const sample = {
      seconds: (performance.now() - startedAt) / 1000,
      offered: state.events,
      published: metric('hydrant_firehose_events_published_total'),
    };
    lagSeconds.push(metric('hydrant_firehose_lag_seconds'));
    behindSeconds.push(Math.max(0, sample.offered - sample.published) / perSecond);
    // n.b. a simulator that cannot make as many as it was told takes longer; it is given half as much again.
    if (!state.finished && sample.seconds < limitSeconds * 1.5) {
      first ??= sample;
      last = sample;
      continue;
    }
    const [from, to] = [first ?? { seconds: 0, offered: 0, published: 0 }, last ?? sample];
    const rate = (count: (of: Sample) => number): number => (count(to) - count(from)) / (to.seconds - from.seconds);
    return {
      lagSeconds,
      behindSeconds,
      published: sample.published,
      seconds: sample.seconds,
      offeredPerSecond: rate(({ offered }) => offered),
      publishedPerSecond: rate(({ published }) => published),
    };
  }
}
