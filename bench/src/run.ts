/** Measures one row after the other and says how it goes. */
import type { Axis, FigureSource, Measurement, Path } from './measure.ts';
import { formatLimit, formatMemory, formatNumber, formatSummary, formatTarget } from './results-page.ts';
import type { AxisResult, FigureResult, FiguresResult, PathResult } from './results.ts';
import { summarise } from './statistics.ts';

/** Bytes, of any service. */
const maxMemory = 150_000_000;

export function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** `isOurs`: then the limit of memory holds too. */
export async function runPath(path: Path, rounds: number, isOurs: boolean): Promise<PathResult> {
  const ours: Measurement[] = [];
  const floors: Measurement[] = [];
  for (let round = 1; round <= rounds; round += 1) {
    floors.push(await path.measureFloor());
    ours.push(await path.measure());
    say(
      `  ${path.name}, round ${String(round)}: ${formatNumber(ours.at(-1)?.eventsPerSecond)} events/s, ${path.floorName} ${formatNumber(floors.at(-1)?.eventsPerSecond)}`,
    );
  }
  const eventsPerSecond = summarise(ours.map((each) => each.eventsPerSecond));
  const floorEventsPerSecond = summarise(floors.map((each) => each.eventsPerSecond));
  const names = Object.keys(ours[0]?.peakMemory ?? {});
  const peakMemory = Object.fromEntries(
    names.map((name) => [name, Math.max(...ours.map((each) => each.peakMemory[name] ?? 0))]),
  );
  const ratio = eventsPerSecond.median / floorEventsPerSecond.median;
  const missed = [
    ...(ratio >= path.target ? [] : ['ratio']),
    ...(eventsPerSecond.median >= (path.atLeastPerSecond ?? 0) ? [] : ['events/s']),
    ...(!isOurs || Object.values(peakMemory).every((bytes) => bytes <= maxMemory) ? [] : ['memory']),
  ];
  return {
    name: path.name,
    measuredAt: now(),
    rounds,
    eventsPerSecond,
    floor: path.floorName,
    floorEventsPerSecond,
    ratio,
    target: path.target,
    atLeastPerSecond: path.atLeastPerSecond,
    peakMemory,
    cpuSecondsPer100k: summarise(ours.map((each) => each.cpuSecondsPer100k ?? NaN)).median,
    missed,
  };
}

export async function runFigures(source: FigureSource): Promise<FiguresResult> {
  const figures = (await source.measure()).map((figure): FigureResult => ({ ...figure, isMet: isMet(figure) }));
  say(`  ${source.what}`);
  for (const figure of figures) {
    const verdict =
      figure.atLeast === undefined && figure.atMost === undefined
        ? ''
        : `, ${formatLimit(figure)}: ${figure.isMet ? 'met' : 'missed'}`;
    say(`  ${figure.name.padEnd(24)} ${formatNumber(figure.value)} ${figure.unit}${verdict}`);
  }
  return { name: source.name, measuredAt: now(), what: source.what, figures };
}

/** A number that there is not meets no limit. */
function isMet({ value, atLeast, atMost }: Omit<FigureResult, 'isMet'>): boolean {
  if (atLeast !== undefined) return value >= atLeast;
  return atMost === undefined || value <= atMost;
}

export async function runAxis(axis: Axis): Promise<AxisResult> {
  say(`  ${axis.what}\n  ${axis.columns.join(' | ')}`);
  const rows: (readonly number[])[] = [];
  for await (const row of axis.rows()) {
    rows.push(row);
    say(`  ${row.map(formatNumber).join(' | ')}`);
  }
  return { name: axis.name, measuredAt: now(), what: axis.what, columns: axis.columns, rows };
}

export function printPaths(paths: readonly PathResult[]): void {
  const head = [
    'row',
    'events/s (min–max)',
    'floor',
    'events/s (min–max)',
    'ratio',
    'target',
    '',
    'peak memory',
    'CPU s/100k',
  ];
  const rows = paths.map((path) => [
    path.name,
    formatSummary(path.eventsPerSecond),
    path.floor,
    formatSummary(path.floorEventsPerSecond),
    path.ratio.toFixed(2),
    formatTarget(path),
    path.missed.length === 0 ? '' : 'missed',
    formatMemory(path.peakMemory),
    path.cpuSecondsPer100k.toFixed(2),
  ]);
  const widths = head.map((name, at) => Math.max(name.length, ...rows.map((row) => row[at]?.length ?? 0)));
  say('');
  for (const row of [head, ...rows])
    say(
      row
        .map((cell, at) => cell.padEnd(widths[at] ?? 0))
        .join('  ')
        .trimEnd(),
    );
}

function now(): string {
  return new Date().toISOString();
}
