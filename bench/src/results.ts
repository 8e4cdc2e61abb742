/**
 * What was measured, kept as bench/results.json: a row that is measured again replaces the older one, and rows of
 * another machine are forgotten.
 */
import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { cpus, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { findRabbitMqFolder } from '@hydrant/testing/requirements';
import type { Figure } from './measure.ts';
import type { Summary } from './statistics.ts';

interface Row {
  readonly name: string;
  /** ISO 8601. */
  readonly measuredAt: string;
}

export interface PathResult extends Row {
  readonly rounds: number;
  readonly eventsPerSecond: Summary;
  readonly floor: string;
  readonly floorEventsPerSecond: Summary;
  readonly ratio: number;
  readonly target: number;
  readonly atLeastPerSecond?: number | undefined;
  /** Bytes. */
  readonly peakMemory: Readonly<Record<string, number>>;
  readonly cpuSecondsPer100k: number;
  /** The targets that it does not meet, in words. */
  readonly missed: readonly string[];
}

export interface FigureResult extends Figure {
  readonly isMet: boolean;
}

export interface FiguresResult extends Row {
  readonly what: string;
  readonly figures: readonly FigureResult[];
}

export interface AxisResult extends Row {
  readonly what: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly number[])[];
}

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly node: string;
  readonly rabbitmq: string;
  readonly redis: string;
}

export interface Results {
  readonly machine: Machine;
  readonly paths: readonly PathResult[];
  readonly figures: readonly FiguresResult[];
  readonly axes: readonly AxisResult[];
  /** Other forwarders. */
  readonly against: readonly PathResult[];
}

export type Measured = Partial<Omit<Results, 'machine'>>;

const file = new URL('../results.json', import.meta.url);
const gibibyte = 1024 ** 3;

export async function describeMachine(): Promise<Machine> {
  const folder = findRabbitMqFolder() ?? '';
  const [rabbitmq, redis] = await Promise.all([
    versionOf(join(folder, 'rabbitmqctl'), ['version']),
    versionOf('redis-server', ['--version']),
  ]);
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / gibibyte),
    node: process.version.slice(1),
    rabbitmq,
    redis,
  };
}

async function versionOf(program: string, args: readonly string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(program, args, {
    env: { PATH: process.env['PATH'] ?? '', HOME: tmpdir(), LANG: 'C.UTF-8' },
  });
  return /\d+\.\d+(?:\.\d+)*/u.exec(stdout)?.[0] ?? 'unknown';
}

/** Without rows when there are none of this machine. */
export async function readResults(machine: Machine): Promise<Results> {
  const none: Results = { machine, paths: [], figures: [], axes: [], against: [] };
  const text = await readFile(file, 'utf8').catch(() => undefined);
  if (text === undefined) return none;
  const stored = JSON.parse(text) as Partial<Results>;
  return JSON.stringify(stored.machine) === JSON.stringify(machine) ? { ...none, ...stored } : none;
}

export async function writeResults(results: Results): Promise<void> {
  await writeFile(file, `${JSON.stringify(results, undefined, 2)}\n`);
}

/** `order`: names as they are to stand; those that it does not hold come last. */
export function mergeResults(before: Results, measured: Measured, order: readonly string[]): Results {
  const merge = <T extends Row>(old: readonly T[], fresh: readonly T[] = []): readonly T[] => {
    const rows = new Map([...old, ...fresh].map((row) => [row.name, row]));
    const place = ({ name }: T): number => (order.includes(name) ? order.indexOf(name) : order.length);
    return [...rows.values()].sort((a, b) => place(a) - place(b));
  };
  return {
    machine: before.machine,
    paths: merge(before.paths, measured.paths),
    figures: merge(before.figures, measured.figures),
    axes: merge(before.axes, measured.axes),
    against: merge(before.against, measured.against),
  };
}
