/**
 * `make bench`: each path and its floor in turn, three rounds, medians, as a table and as JSON (bench/results.json). A missed target ends with exit code 1.
 * Arguments: names of paths; none means all.
 */
import { writeFile } from 'node:fs/promises';
import { cpus, loadavg } from 'node:os';
import { createDetectorLatency } from './detector-latency.ts';
import { createDetectorMemory } from './detector-memory.ts';
import { createDetectorNfhPath } from './detector-nfh-path.ts';
import { createDetectorPath } from './detector-path.ts';
import { createFirehosePath } from './firehose-path.ts';
import type { Figure, FigureSource, Measurement, Path } from './measure.ts';
import { createS3Path } from './s3-path.ts';
import { createSinkWorkerPath } from './sink-worker-path.ts';
import { createSlowSinkPath } from './slow-sink-path.ts';
import { createStandalonePath } from './standalone-path.ts';
import { summarise } from './statistics.ts';

const rounds = 3;
const mebibyte = 1024 * 1024;
const maxMemory = 200 * mebibyte;

interface Result {
  readonly path: string;
  readonly eventsPerSecond: ReturnType<typeof summarise>;
  readonly floor: string;
  readonly floorEventsPerSecond: ReturnType<typeof summarise>;
  readonly ratio: number;
  readonly target: number;
  readonly peakMemory: Readonly<Record<string, number>>;
  readonly cpuSecondsPer100k: number;
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

async function runPath(path: Path): Promise<Result> {
  const ours: Measurement[] = [];
  const floors: Measurement[] = [];
  for (let round = 1; round <= rounds; round += 1) {
    floors.push(await path.measureFloor());
    ours.push(await path.measure());
    say(`  ${path.name}, round ${String(round)}: ${format(ours.at(-1)?.eventsPerSecond)} events/s, floor ${format(floors.at(-1)?.eventsPerSecond)}`);
  }
  const eventsPerSecond = summarise(ours.map((each) => each.eventsPerSecond));
  const floorEventsPerSecond = summarise(floors.map((each) => each.eventsPerSecond));
  const names = Object.keys(ours[0]?.peakMemory ?? {});
  return {
    path: path.name,
    eventsPerSecond,
    floor: path.floorName,
    floorEventsPerSecond,
    ratio: eventsPerSecond.median / floorEventsPerSecond.median,
    target: path.target,
    peakMemory: Object.fromEntries(names.map((name) => [name, Math.max(...ours.map((each) => each.peakMemory[name] ?? 0))])),
    cpuSecondsPer100k: summarise(ours.map((each) => each.cpuSecondsPer100k ?? NaN)).median,
  };
}

function format(value: number | undefined): string {
  return Math.round(value ?? NaN).toLocaleString('en-US');
}

function printTable(results: readonly Result[]): void {
  say('\npath         events/s (min–max)            floor                events/s (min–max)            ratio  target  peak memory          CPU s/100k');
  for (const result of results) {
    const range = ({ median, min, max }: Result['eventsPerSecond']): string => `${format(median)} (${format(min)}–${format(max)})`;
    const memory = Object.entries(result.peakMemory).map(([name, bytes]) => `${name} ${String(Math.round(bytes / mebibyte))} MiB`).join(', ');
    say([result.path.padEnd(12), range(result.eventsPerSecond).padEnd(29), result.floor.padEnd(20), range(result.floorEventsPerSecond).padEnd(29),
      result.ratio.toFixed(2).padEnd(6), String(result.target).padEnd(7), memory.padEnd(20), result.cpuSecondsPer100k.toFixed(2)].join(' '));
  }
}

interface FigureResult extends Figure {
  readonly path: string;
  readonly isMet: boolean;
}

async function readFigures(source: FigureSource): Promise<readonly FigureResult[]> {
  const figures = (await source.measure()).map((figure) => ({ ...figure, path: source.name, isMet: figure.value <= figure.atMost }));
  say(`\n${source.name}: ${source.what}`);
  for (const { name, value, unit, atMost, isMet } of figures) say(`  ${name.padEnd(20)} ${value.toFixed(1)} ${unit}, at most ${String(atMost)} ${unit}: ${isMet ? 'met' : 'missed'}`);
  return figures;
}

function isMissed(result: Result): boolean {
  return result.ratio < result.target || Object.values(result.peakMemory).some((bytes) => bytes > maxMemory);
}

function isWanted({ name }: { readonly name: string }): boolean {
  return wanted.length === 0 || wanted.includes(name);
}

const wanted = process.argv.slice(2);
const paths = [
  createFirehosePath(), createSinkWorkerPath(), createSlowSinkPath(50), createSlowSinkPath(500), createS3Path(), createDetectorPath(), createDetectorNfhPath(),
  createStandalonePath(),
].filter(isWanted);
const results: Result[] = [];
for (const path of paths) results.push(await runPath(path));
if (results.length > 0) printTable(results);
const figures: FigureResult[] = [];
for (const source of [createDetectorLatency(), createDetectorMemory()].filter(isWanted)) figures.push(...(await readFigures(source)));
const machine = { cpu: cpus()[0]?.model ?? 'unknown', cores: cpus().length, node: process.version, load: loadavg() };
await writeFile(new URL('../results.json', import.meta.url), `${JSON.stringify({ date: new Date().toISOString(), machine, rounds, results, figures }, undefined, 2)}\n`);
const missed = [...results.filter(isMissed), ...figures.filter(({ isMet }) => !isMet)];
if (missed.length > 0) {
  say(`\nMissed: ${[...new Set(missed.map(({ path }) => path))].join(', ')}`);
  process.exitCode = 1;
}
