/**
 * Durations as Go writes them (`5m`, `1h30m`, `250ms`), in milliseconds. A bare number is no duration, and none is
 * negative.
 */
const unitMs: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};
const amountAndUnit = String.raw`(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)`;
const wholeDuration = new RegExp(`^(?:${amountAndUnit})+$`, 'u');
const part = new RegExp(amountAndUnit, 'gu');

/** Undefined when the text is not a duration; `0` alone is one, as in Go. */
export function parseDuration(text: string): number | undefined {
  if (text === '0') return 0;
  if (!wholeDuration.test(text)) return undefined;
  let ms = 0;
  for (const [, amount, unit] of text.matchAll(part)) ms += Number(amount) * (unitMs[unit ?? ''] ?? NaN);
  return ms <= Number.MAX_SAFE_INTEGER ? roundToNanoseconds(ms) : undefined;
}

/** The shortest form that `parseDuration` reads back: `10m`, `1h30m`, `1.5s`. */
export function formatDuration(ms: number): string {
  if (ms === 0) return '0s';
  if (ms < 1000) return `${formatNumber(ms)}ms`;
  const hours = Math.floor(ms / 3_600_000);
  const minutes = Math.floor((ms % 3_600_000) / 60_000);
  const seconds = (ms % 60_000) / 1000;
  const parts = [
    hours > 0 ? `${String(hours)}h` : '',
    minutes > 0 ? `${String(minutes)}m` : '',
    seconds > 0 ? `${formatNumber(seconds)}s` : '',
  ];
  return parts.join('');
}

function roundToNanoseconds(ms: number): number {
  return Math.round(ms) === ms ? ms : Number(ms.toFixed(6));
}

/** Without an exponent and without what binary fractions add at the end. */
function formatNumber(value: number): string {
  return Number.isInteger(value) ? String(value) : value.toFixed(9).replace(/\.?0+$/u, '');
}
