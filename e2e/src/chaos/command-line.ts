/**
 * What `make chaos` and `make soak` are told, and the command that says it again. Pure; a bad value is named with what
 * was expected.
 */
import { parseArgs } from 'node:util';
import { formatDuration, parseDuration } from '@hydrant/shared/foundation/durations';
import type { ShapeName } from '../stage.ts';

export interface RunOptions {
  readonly durationMs: number;
  readonly seed: number;
  readonly shapeName: ShapeName;
  readonly eventsPerSecond: number;
  readonly spoolsToFolder: boolean;
}

export interface RunDefaults {
  readonly command: 'chaos' | 'soak';
  readonly duration: string;
  readonly shortestMs: number;
  readonly eventsPerSecond: number;
}

const shapeOfWord = new Map<string, ShapeName>([
  ['services', 'three services'],
  ['clusters', 'three services on clusters'],
  ['standalone', 'standalone'],
]);
const largestSeed = 2 ** 32 - 1;

/** Without a seed it is `seedByChance`. An empty value is none, so that a Makefile may pass what it was not given. */
export function readRunOptions(args: readonly string[], defaults: RunDefaults, seedByChance: number): RunOptions {
  const names = ['for', 'seed', 'shape', 'rate', 'spool'] as const;
  const { values } = parseArgs({
    args: [...args],
    options: Object.fromEntries(names.map((name) => [name, { type: 'string' as const }])),
  });
  const given = (name: (typeof names)[number], otherwise: string): string =>
    typeof values[name] === 'string' && values[name] !== '' ? values[name] : otherwise;
  const duration = given('for', defaults.duration);
  const durationMs = parseDuration(duration);
  if (durationMs === undefined || durationMs < defaults.shortestMs)
    throw wrong('FOR', `a duration such as 10m, ${formatDuration(defaults.shortestMs)} or more`, duration);
  const shape = given('shape', 'services');
  const shapeName = shapeOfWord.get(shape);
  if (shapeName === undefined) throw wrong('SHAPE', 'services, clusters or standalone', shape);
  const spool = given('spool', 'folder');
  if (spool !== 'folder' && spool !== 'memory') throw wrong('SPOOL', 'folder or memory', spool);
  return {
    durationMs,
    shapeName,
    seed: readNumber('SEED', given('seed', String(seedByChance)), 0, largestSeed),
    eventsPerSecond: readNumber('RATE', given('rate', String(defaults.eventsPerSecond)), 1, 100_000),
    spoolsToFolder: spool === 'folder',
  };
}

/** The command that makes the same faults in the same order. */
export function makeCommand(
  { durationMs, seed, shapeName, eventsPerSecond, spoolsToFolder }: RunOptions,
  { command, eventsPerSecond: usualRate }: RunDefaults,
): string {
  return [
    `make ${command} FOR=${formatDuration(durationMs)}`,
    ...(command === 'chaos' ? [`SEED=${String(seed)}`] : []),
    ...(shapeName === 'three services' ? [] : [`SHAPE=${wordOf(shapeName)}`]),
    ...(eventsPerSecond === usualRate ? [] : [`RATE=${String(eventsPerSecond)}`]),
    ...(spoolsToFolder ? [] : ['SPOOL=memory']),
  ].join(' ');
}

function wordOf(shapeName: ShapeName): string {
  return [...shapeOfWord].find(([, name]) => name === shapeName)?.[0] ?? shapeName;
}

function readNumber(name: string, text: string, least: number, most: number): number {
  const value = Number(text);
  if (/^\d+$/u.test(text) && value >= least && value <= most) return value;
  throw wrong(name, `a whole number from ${String(least)} to ${String(most)}`, text);
}

function wrong(name: string, expected: string, got: string): Error {
  return new Error(`Expected ${name} to be ${expected}, got "${got}"`);
}
