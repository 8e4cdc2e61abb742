/**
 * `make bench`: paths and their floors, and what has a limit of its own; `--axes`: how cost grows along one thing;
 * `--against <command>`: another forwarder on the load of `standalone`. Arguments: names of rows, none means all;
 * `--seconds=20` and `--rounds=1` for trying out. Results go to bench/results.json and, when nothing was left out or
 * with `--page`, to bench/results.md. A missed target ends with exit code 1.
 */
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { createAgainstPath } from './against-path.ts';
import { createBrokerAway } from './broker-away.ts';
import { choose, readCommandLine } from './command-line.ts';
import { createDetectorLatency } from './detector-latency.ts';
import { createDetectorMemory } from './detector-memory.ts';
import { createDetectorNfhPath } from './detector-nfh-path.ts';
import { createDetectorPath } from './detector-path.ts';
import { createFirehosePath } from './firehose-path.ts';
import { createFirehoseSteady } from './firehose-steady.ts';
import { createJobsAxis } from './jobs-axis.ts';
import type { Axis, FigureSource, Path } from './measure.ts';
import { createQueueCost } from './queue-cost.ts';
import { createRateAxis } from './rate-axis.ts';
import { renderResults, type ClosingTable } from './results-page.ts';
import { describeMachine, mergeResults, readResults, writeResults, type Measured } from './results.ts';
import { printPaths, runAxis, runFigures, runPath, say } from './run.ts';
import { createS3Path } from './s3-path.ts';
import { createSinkWorkerPath } from './sink-worker-path.ts';
import { createSizeAxis } from './size-axis.ts';
import { createSlowSinkPath } from './slow-sink-path.ts';
import { createSnapshot } from './snapshot.ts';
import { createStandalonePath } from './standalone-path.ts';
import { createWorkersAxis } from './workers-axis.ts';

const page = new URL('../results.md', import.meta.url);
const closings = new URL('../closings/', import.meta.url);
const options = readCommandLine(process.argv.slice(2));
const paths = [
  createFirehosePath(),
  createSinkWorkerPath(),
  createSlowSinkPath(50),
  createSlowSinkPath(500),
  createS3Path(),
  createDetectorPath(),
  createDetectorNfhPath(),
  createStandalonePath(),
];
const sources = [
  createDetectorLatency(),
  createDetectorMemory(),
  createQueueCost(),
  createSnapshot(),
  createBrokerAway(options.seconds),
  createFirehoseSteady(options.seconds),
];
const axes = [createRateAxis(options.seconds), createSizeAxis(), createWorkersAxis(), createJobsAxis()];
const order = [...paths, ...sources, ...axes].map(({ name }) => name);
const startedAt = performance.now();

const machine = await describeMachine();
let results = await readResults(machine);
const missed: string[] = [];

/** At once, so that a row that breaks takes none of the others with it. */
async function keep(measured: Measured): Promise<void> {
  results = mergeResults(results, measured, order);
  await writeResults(results);
}

/** One after the other; `run` says whether the row met its targets. */
async function each<T extends { readonly name: string }>(
  all: readonly T[],
  run: (one: T) => Promise<boolean>,
): Promise<void> {
  for (const one of all) {
    say(`${String(Math.round((performance.now() - startedAt) / 1000)).padStart(5)} s  ${one.name}`);
    if (!(await run(one))) missed.push(one.name);
  }
}

async function measurePaths(chosen: readonly Path[], part: 'paths' | 'against'): Promise<void> {
  await each(chosen, async (path) => {
    const result = await runPath(path, options.rounds, part === 'paths');
    await keep({ [part]: [result] });
    return result.missed.length === 0;
  });
}

async function measureFigures(chosen: readonly FigureSource[]): Promise<void> {
  await each(chosen, async (source) => {
    const result = await runFigures(source);
    await keep({ figures: [result] });
    return result.figures.every(({ isMet }) => isMet);
  });
}

async function measureAxes(chosen: readonly Axis[]): Promise<void> {
  await each(chosen, async (axis) => {
    await keep({ axes: [await runAxis(axis)] });
    return true;
  });
}

/** Resolves with the names of the rows of the table that is printed at the end. */
async function measure(): Promise<readonly string[]> {
  const { names, against, isAxes } = options;
  if (isAxes) {
    await measureAxes(
      choose(
        axes,
        names,
        axes.map(({ name }) => name),
      ),
    );
    return [];
  }
  if (against !== undefined) {
    const standalone = createStandalonePath();
    await measurePaths([standalone], 'paths');
    await measurePaths([createAgainstPath(against)], 'against');
    return [standalone.name, against.label];
  }
  const known = [...paths, ...sources].map(({ name }) => name);
  const chosen = choose(paths, names, known);
  await measurePaths(chosen, 'paths');
  await measureFigures(choose(sources, names, known));
  return chosen.map(({ name }) => name);
}

/**
 * What `make chaos`, `make soak` and `make bench AGAINST=…` printed at their end, kept by hand in files named after the
 * day: 2026-11-21-chaos-1.txt.
 */
async function readClosings(): Promise<readonly ClosingTable[]> {
  const names = (await readdir(closings)).filter((name) => name.endsWith('.txt')).sort();
  return Promise.all(
    names.map(async (name) => ({ day: name.slice(0, 10), text: await readFile(new URL(name, closings), 'utf8') })),
  );
}

const measured = await measure();
if (measured.length > 0)
  printPaths([...results.paths, ...results.against].filter(({ name }) => measured.includes(name)));
if (options.isPageWanted) await writeFile(page, renderResults(results, await readClosings()));
say(
  `\n${String(Math.round((performance.now() - startedAt) / 1000))} s; bench/results.json${options.isPageWanted ? ' and bench/results.md' : ''} written`,
);
if (missed.length > 0) {
  say(`Missed: ${missed.join(', ')}`);
  process.exitCode = 1;
}
