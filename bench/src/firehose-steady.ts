/**
 * Whether the firehose holds a rate for minutes beside broker, simulator and consumer; where it does not, which rate it
 * holds.
 */
import type { Figure, FigureSource } from './measure.ts';
import { percentile } from './statistics.ts';
import { offerSteadily, type SteadyRun } from './steady.ts';

const perSecond = 10_000;
const megabyte = 1_000_000;
/** Two samples are not taken at the same moment of what they look at. */
const tolerance = 0.99;
const maxLagSeconds = 1;
const trySeconds = 20;
const step = 1000;
const mostTries = 4;

function most(values: readonly number[]): number {
  return values.reduce((highest, value) => Math.max(highest, value), 0);
}

function isHeld(run: SteadyRun, rate: number): boolean {
  return run.publishedPerSecond >= rate * tolerance && run.missing === 0 && most(run.lagSeconds) <= maxLagSeconds;
}

/** The highest of some rates that is held; undefined when none is. */
async function findHeldRate(missedAt: SteadyRun): Promise<number | undefined> {
  const first = Math.min(perSecond - step, Math.ceil(missedAt.publishedPerSecond / step) * step);
  for (let rate = first; rate > Math.max(0, first - mostTries * step); rate -= step) {
    const run = await offerSteadily({ perSecond: rate, seconds: trySeconds });
    const isEnough = isHeld(run, rate);
    process.stdout.write(
      `  firehose-steady: ${String(rate)} events/s for ${String(trySeconds)} s ${isEnough ? 'held' : 'not held'}, published ${run.publishedPerSecond.toFixed(0)}, lag ${most(run.lagSeconds).toFixed(2)} s, missing ${String(run.missing)}\n`,
    );
    if (isEnough) return rate;
  }
  return undefined;
}

async function measure(seconds: number): Promise<readonly Figure[]> {
  const run = await offerSteadily({ perSecond, seconds });
  const held = isHeld(run, perSecond) ? perSecond : await findHeldRate(run);
  return [
    { name: 'offered', value: run.offeredPerSecond, unit: 'events/s' },
    { name: 'published', value: run.publishedPerSecond, unit: 'events/s', atLeast: perSecond * tolerance },
    { name: 'not with the consumer', value: run.missing, unit: 'events', atMost: 0 },
    { name: 'lag p99', value: percentile(run.lagSeconds, 0.99), unit: 's', atMost: maxLagSeconds },
    { name: 'lag max', value: most(run.lagSeconds), unit: 's', atMost: maxLagSeconds },
    { name: 'behind the offer, p99', value: percentile(run.behindSeconds, 0.99), unit: 's' },
    { name: 'firehose VmHWM', value: run.peakMemory / megabyte, unit: 'MB', atMost: 150 },
    { name: 'firehose CPU', value: run.cpuSecondsPer100k, unit: 's per 100,000 events' },
    { name: 'broker CPU, in and out', value: run.brokerCpuSecondsPer100k, unit: 's per 100,000 events' },
    { name: 'highest rate held', value: held ?? NaN, unit: 'events/s' },
  ];
}

export function createFirehoseSteady(seconds = 120): FigureSource {
  return {
    name: 'firehose-steady',
    what: `${perSecond.toLocaleString('en-US')} events/s offered for ${String(seconds)} s while a consumer empties the queue; lag sampled four times a second`,
    measure: () => measure(seconds),
  };
}
