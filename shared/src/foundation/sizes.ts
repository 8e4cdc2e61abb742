/** Sizes such as `256MiB`, `1GiB`, `500KB`, `4096`, in bytes. */
const binaryUnits: readonly (readonly [string, number])[] = [
  ['TiB', 1024 ** 4],
  ['GiB', 1024 ** 3],
  ['MiB', 1024 ** 2],
  ['KiB', 1024],
];
const decimalUnits: readonly (readonly [string, number])[] = [
  ['TB', 1e12],
  ['GB', 1e9],
  ['MB', 1e6],
  ['KB', 1e3],
];
const unitBytes = new Map<string, number>([...binaryUnits, ...decimalUnits, ['B', 1], ['', 1]]);
const wholeSize = /^(\d+(?:\.\d+)?)\s*([KMGT]?i?B|)$/u;

/** Undefined when the text is not a size, or not a whole number of bytes that can be counted exactly. */
export function parseSize(text: string): number | undefined {
  const [, amount, unit] = wholeSize.exec(text.trim()) ?? [];
  const factor = unit === undefined ? undefined : unitBytes.get(unit);
  if (amount === undefined || factor === undefined) return undefined;
  const bytes = factor === 1 ? Number(amount) : Math.round(Number(amount) * factor);
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** The shortest form that `parseSize` reads back: `1.5GiB`, `500KB`, `4097B`. */
export function formatSize(bytes: number): string {
  for (const [unit, factor] of [...binaryUnits, ...decimalUnits]) {
    const hundredths = (bytes / factor) * 100;
    if (bytes >= factor && Number.isInteger(hundredths)) return `${String(hundredths / 100)}${unit}`;
  }
  return `${String(bytes)}B`;
}
