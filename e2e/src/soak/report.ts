/** The table of a soak and its verdict. Pure. */
import { format } from '../chaos/report.ts';
import type { SoakSample } from './sample.ts';
import { fitSlope, judge, type Slope, type Verdict } from './slope.ts';

export interface SeriesResult {
  readonly name: string;
  readonly unit: string;
  readonly slope: Slope | undefined;
  readonly verdict: Verdict;
}

export interface RateResult {
  readonly offered: number;
  readonly made: number;
  readonly delivered: number;
  readonly isHeld: boolean;
}

interface Kind {
  readonly unit: string;
  readonly digits: number;
  /** The smallest change over the measured time that would matter. */
  readonly least: number;
}

const kinds: Readonly<Record<string, Kind>> = {
  memory: { unit: 'MiB', digits: 1, least: 2 },
  handles: { unit: '', digits: 0, least: 2 },
  latency: { unit: 'ms', digits: 1, least: 10 },
  on: { unit: 'events', digits: 0, least: 500 },
  queue: { unit: 'messages', digits: 0, least: 500 },
};
const secondsPerHour = 3600;
/** Below this share of what was offered the machine did not hold the rate. */
const heldShare = 0.98;

function kindOf(name: string): Kind {
  return kinds[name.split(' ')[0] ?? ''] ?? { unit: '', digits: 1, least: 0 };
}

/** `samples` without the warm-up. */
export function readSeries(samples: readonly SoakSample[]): readonly SeriesResult[] {
  const names = [...new Set(samples.flatMap(({ values }) => Object.keys(values)))];
  return names.map((name) => {
    const slope = fitSlope(
      samples.flatMap(({ seconds, values }) => (values[name] === undefined ? [] : [{ seconds, value: values[name] }])),
    );
    return { name, unit: kindOf(name).unit, slope, verdict: judge(slope, kindOf(name).least) };
  });
}

export function readRate(samples: readonly SoakSample[], offered: number): RateResult {
  const [first, last] = [samples[0], samples.at(-1)];
  const seconds = (last?.seconds ?? NaN) - (first?.seconds ?? NaN);
  const made = ((last?.made ?? NaN) - (first?.made ?? NaN)) / seconds;
  const delivered = ((last?.arrived ?? NaN) - (first?.arrived ?? NaN)) / seconds;
  return { offered, made, delivered, isHeld: Math.min(made, delivered) >= heldShare * offered };
}

export function describeSeries(results: readonly SeriesResult[]): string {
  const header = [
    'series'.padEnd(36),
    'mean'.padStart(12),
    'slope an hour'.padStart(16),
    '95 % interval'.padStart(24),
    '  verdict',
  ].join(' ');
  const rows = results.map(({ name, unit, slope, verdict }) => {
    const { digits } = kindOf(name);
    const hourly = (perSecond: number | undefined): string =>
      perSecond === undefined ? '-' : withSign(perSecond * secondsPerHour, digits);
    return [
      name.padEnd(36),
      `${slope === undefined ? '-' : slope.mean.toFixed(digits)} ${unit}`.padStart(12),
      hourly(slope?.perSecond).padStart(16),
      `${hourly(slope?.low)} to ${hourly(slope?.high)}`.padStart(24),
      `  ${verdict}`,
    ].join(' ');
  });
  return [header, ...rows].join('\n');
}

export function describeRate({ offered, made, delivered, isHeld }: RateResult): string {
  const reached = `${format(made)} events/s made, ${format(delivered)} delivered`;
  return isHeld
    ? `${format(offered)} events/s held: ${reached}`
    : `The machine did not hold ${format(offered)} events/s: ${reached}. What rises below may rise for that reason alone`;
}

function withSign(value: number, digits: number): string {
  const text = value.toFixed(digits);
  return Number(text) > 0 ? `+${text}` : text.replace(/^-(0(?:\.0+)?)$/u, '$1');
}
