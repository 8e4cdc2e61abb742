/** Arguments of the benchmark. Pure. */
import { parseArgs } from 'node:util';
import type { Forwarder } from './against-path.ts';

export interface CommandLine {
  /** What to measure; empty: all of it. */
  readonly names: readonly string[];
  /** How cost grows, in place of the paths and figures. */
  readonly isAxes: boolean;
  /** Another forwarder beside standalone, in place of all other paths. */
  readonly against: Forwarder | undefined;
  /** In place of the full length of what lasts for a given time. */
  readonly seconds: number | undefined;
  readonly rounds: number;
  /** Whether bench/results.md is to be written. */
  readonly isPageWanted: boolean;
}

const defaultRounds = 3;

const options = {
  axes: { type: 'boolean', default: false },
  against: { type: 'string' },
  as: { type: 'string' },
  seconds: { type: 'string' },
  rounds: { type: 'string' },
  page: { type: 'boolean', default: false },
} as const;

/** Throws an Error that says what was expected. */
export function readCommandLine(args: readonly string[]): CommandLine {
  const { values, positionals } = parseArgs({ args: [...args], options, allowPositionals: true });
  const seconds = readCount('seconds', values.seconds);
  const rounds = readCount('rounds', values.rounds);
  const { against: command, as: label } = values;
  if (command === undefined && label !== undefined)
    throw new Error('Expected `--against` beside `--as`, which names that forwarder in the tables');
  const isWhole = positionals.length === 0 && seconds === undefined && rounds === undefined;
  return {
    names: positionals,
    isAxes: values.axes,
    seconds,
    rounds: rounds ?? defaultRounds,
    against: command === undefined ? undefined : { command, label: label ?? 'other forwarder' },
    isPageWanted: values.page || isWhole,
  };
}

function readCount(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^[1-9]\d*$/u.test(text)) throw new Error(`Expected \`--${name}\` to be a whole number above 0, got "${text}"`);
  return Number(text);
}

/** The wanted of `all`, in their order. Throws when a name is none of them. */
export function choose<T extends { readonly name: string }>(
  all: readonly T[],
  names: readonly string[],
  known: readonly string[],
): readonly T[] {
  const unknown = names.filter((name) => !known.includes(name));
  if (unknown.length > 0) throw new Error(`Expected names of ${known.join(', ')}, got ${unknown.join(', ')}`);
  return names.length === 0 ? all : all.filter(({ name }) => names.includes(name));
}
