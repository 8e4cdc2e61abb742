/**
 * The straight line through a series by least squares, how sure its slope is, and what that says. Pure.
 *
 * Neighbouring samples resemble one another (memory does), so they are worth less than as many independent ones: the
 * interval is made wider by their correlation.
 */
export interface Sample {
  readonly seconds: number;
  readonly value: number;
}

export interface Slope {
  readonly perSecond: number;
  /** The ends of the 95 % interval of the slope. */
  readonly low: number;
  readonly high: number;
  readonly mean: number;
  /** From the first sample to the last. */
  readonly seconds: number;
}

/** unclear: the interval holds 0, and also more than could be called flat. */
export type Verdict = 'flat' | 'rises' | 'falls' | 'unclear';

const leastSamples = 10;
/**
 * A change over the whole series counts from this share of its mean on, and the interval of what is flat lies within
 * twice that.
 */
const notableShare = 0.05;

/** Undefined for fewer than ten samples. */
export function fitSlope(samples: readonly Sample[]): Slope | undefined {
  const count = samples.length;
  if (count < leastSamples) return undefined;
  const meanSeconds = meanOf(samples.map(({ seconds }) => seconds));
  const mean = meanOf(samples.map(({ value }) => value));
  const spread = sumOf(samples.map(({ seconds }) => (seconds - meanSeconds) ** 2));
  const perSecond = sumOf(samples.map(({ seconds, value }) => (seconds - meanSeconds) * (value - mean))) / spread;
  const residuals = samples.map(({ seconds, value }) => value - mean - perSecond * (seconds - meanSeconds));
  const squares = sumOf(residuals.map((residual) => residual ** 2));
  const likeness =
    squares === 0
      ? 0
      : Math.max(
          0,
          sumOf(residuals.slice(1).map((residual, position) => residual * (residuals[position] ?? 0))) / squares,
        );
  const freedom = Math.max(2, (count * (1 - likeness)) / (1 + likeness) - 2);
  const margin = studentT(freedom) * Math.sqrt(squares / freedom / spread);
  return {
    perSecond,
    low: perSecond - margin,
    high: perSecond + margin,
    mean,
    seconds: (samples.at(-1)?.seconds ?? 0) - (samples[0]?.seconds ?? 0),
  };
}

/** `least` is the smallest change over the whole series that would matter, in the series' unit. */
export function judge(slope: Slope | undefined, least: number): Verdict {
  if (slope === undefined) return 'unclear';
  const notable = Math.max(least, notableShare * slope.mean);
  const change = slope.perSecond * slope.seconds;
  if (slope.low > 0 && change > notable) return 'rises';
  if (slope.high < 0 && -change > notable) return 'falls';
  return Math.max(-slope.low, slope.high) * slope.seconds <= 2 * notable ? 'flat' : 'unclear';
}

/**
 * The 97.5 % quantile of Student's distribution, by the expansion of Cornish and Fisher; from 4 degrees of freedom on
 * right to two digits.
 */
export function studentT(freedom: number): number {
  const z = 1.959_964;
  const terms = [
    z,
    (z ** 3 + z) / 4,
    (5 * z ** 5 + 16 * z ** 3 + 3 * z) / 96,
    (3 * z ** 7 + 19 * z ** 5 + 17 * z ** 3 - 15 * z) / 384,
    (79 * z ** 9 + 776 * z ** 7 + 1482 * z ** 5 - 1920 * z ** 3 - 945 * z) / 92_160,
  ];
  return sumOf(terms.map((term, power) => term / freedom ** power));
}

function sumOf(values: readonly number[]): number {
  let sum = 0;
  for (const value of values) sum += value;
  return sum;
}

function meanOf(values: readonly number[]): number {
  return sumOf(values) / values.length;
}
