/**
 * `make soak`: a steady load for a while, and whether memory, handles and latency stay flat under it. Exit code 1 when
 * one of them rises or events are missing. Arguments: --for, --shape, --rate. The samples and slopes go to
 * soak-results.json as well.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { accountFor } from '../chaos/account.ts';
import { makeCommand, readRunOptions, type RunDefaults, type RunOptions } from '../chaos/command-line.ts';
import type { EventTally } from '../chaos/event-tally.ts';
import { format } from '../chaos/report.ts';
import { describeRate, describeSeries, readRate, readSeries } from './report.ts';
import { takeSample, type SamplePorts, type SoakSample } from './sample.ts';
import { setSoakStage, type SoakStage } from './soak-stage.ts';

const defaults: RunDefaults = { command: 'soak', duration: '15m', shortestMs: 120_000, eventsPerSecond: 2_000 };
const sampleMs = 5_000;
const progressSamples = 6;
/** Heaps and buffers find their size first: a third of the time, at most so long. */
const longestWarmUpMs = 300_000;
const longestDrainMs = 120_000;
const lookMs = 500;
const resultsFile = new URL('../../soak-results.json', import.meta.url);

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

function describeSample({ seconds, made, arrived, values }: SoakSample): string {
  const memory = Object.entries(values)
    .filter(([name]) => name.startsWith('memory '))
    .map(([name, value]) => `${name.replace('memory ', '')} ${value.toFixed(0)} MiB`);
  const latency = `p50 ${values['latency p50']?.toFixed(0) ?? '-'} ms, p99 ${values['latency p99']?.toFixed(0) ?? '-'} ms`;
  return `${String(Math.round(seconds)).padStart(5)} s  ${format(made)} events sent, ${format(made - arrived)} on their way; ${latency}; ${memory.join(', ')}`;
}

async function sampleFor(durationMs: number, ports: SamplePorts): Promise<readonly SoakSample[]> {
  const startedAt = performance.now();
  const samples: SoakSample[] = [];
  for (let dueMs = sampleMs; dueMs <= durationMs; dueMs += sampleMs) {
    await sleep(Math.max(0, dueMs - (performance.now() - startedAt)));
    const sample = await takeSample((performance.now() - startedAt) / 1000, ports);
    samples.push(sample);
    if (samples.length % progressSamples === 0) say(describeSample(sample));
  }
  return samples;
}

interface Soaked {
  readonly options: RunOptions;
  readonly all: readonly SoakSample[];
  readonly tally: EventTally;
  readonly loopDelayMs: number;
}

/** True when nothing rises that must not, and nothing is missing. */
async function conclude({ options, all, tally, loopDelayMs }: Soaked): Promise<boolean> {
  const { durationMs, eventsPerSecond, shapeName } = options;
  const warmUpMs = Math.min(longestWarmUpMs, durationMs / 3);
  const samples = all.filter(({ seconds }) => seconds * 1000 >= warmUpMs);
  const series = readSeries(samples);
  const rate = readRate(samples, eventsPerSecond);
  const account = accountFor(tally);
  const missing = account.unaccounted.length;
  const { made, arrived, repeats } = tally;
  const machine = { cpu: cpus()[0]?.model ?? 'unknown', cores: cpus().length, node: process.version };
  const result = {
    date: new Date().toISOString(),
    machine,
    shape: shapeName,
    durationMs,
    warmUpMs,
    rate,
    loopDelayMs,
    series,
    made,
    arrived,
    repeats,
    missing,
    samples: all,
  };
  await writeFile(resultsFile, `${JSON.stringify(result, undefined, 2)}\n`);
  say(`\n${describeSeries(series)}\n`);
  say(
    `${describeRate(rate)}; ${String(Math.round(warmUpMs / 1000))} s of warm-up left out, ${String(samples.length)} samples`,
  );
  say(
    `${format(made)} events sent, ${format(account.delivered)} delivered, ${format(account.healed + account.superseded)} dropped by Nomad unread, ${format(missing)} missing, ${format(repeats)} repeats`,
  );
  say(
    `The load and the destination share a process that was late by up to ${loopDelayMs.toFixed(0)} ms (p99): part of each latency`,
  );
  const rising = series
    .filter(({ name, verdict }) => verdict === 'rises' && /^(?:memory|handles|latency) /u.test(name))
    .map(({ name }) => name);
  say(rising.length === 0 ? 'Nothing rises' : `Rises: ${rising.join(', ')}`);
  return missing === 0 && rising.length === 0;
}

async function soak(options: RunOptions, stage: SoakStage): Promise<boolean> {
  const { simulator, tally } = stage;
  const loop = monitorEventLoopDelay();
  loop.enable();
  simulator.control.resume();
  const all = await sampleFor(options.durationMs, stage);
  loop.disable();
  simulator.control.pause();
  for (const limit = performance.now() + longestDrainMs; tally.arrived < tally.made && performance.now() < limit;)
    await sleep(lookMs);
  return conclude({ options, all, tally, loopDelayMs: loop.percentile(99) / 1e6 });
}

async function main(): Promise<number> {
  const options = readRunOptions(process.argv.slice(2), defaults, 0);
  say(`${makeCommand(options, defaults)}: ${options.shapeName}, ${format(options.eventsPerSecond)} events/s`);
  const folder = await mkdtemp(join(tmpdir(), 'hydrant-soak-'));
  const endings: (() => Promise<unknown>)[] = [];
  let isFlat = false;
  try {
    isFlat = await soak(
      options,
      await setSoakStage(options, folder, (end) => {
        endings.unshift(end);
      }),
    );
  } finally {
    for (const end of endings) await end();
    if (isFlat) await rm(folder, { recursive: true, force: true });
    else say(`Logs: ${folder}`);
  }
  return isFlat ? 0 : 1;
}

for (const name of ['SIGINT', 'SIGTERM'] as const)
  process.once(name, () => {
    process.exit(1);
  });
// n.b. at once: after a failure, what is still being started would keep the process alive.
const code = await main().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
  return 1;
});
process.exit(code);
