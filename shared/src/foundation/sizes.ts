/** Sizes such as `256MiB`, `1GiB`, `500KB`, `4096`, in bytes. */
const unitBytes: Readonly<Record<string, number>> = { '': 1, B: 1, KB: 1e3, MB: 1e6, GB: 1e9, TB: 1e12, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3, TiB: 1024 ** 4 };
const wholeSize = /^(\d+(?:\.\d+)?)\s*([KMGT]?i?B|)$/u;

/** Undefined when the text is not a size. */
export function parseSize(text: string): number | undefined {
  const [, amount, unit] = wholeSize.exec(text.trim()) ?? [];
  const factor = unit === undefined ? undefined : unitBytes[unit];
  return amount === undefined || factor === undefined ? undefined : Math.round(Number(amount) * factor);
}

/** In the largest unit that gives at least 1, such as `1.5GiB`. */
export function formatSize(bytes: number): string {
  for (const unit of ['TiB', 'GiB', 'MiB', 'KiB']) {
    const factor = unitBytes[unit] ?? 1;
    if (bytes >= factor) return `${String(Math.round((bytes / factor) * 100) / 100)}${unit}`;
  }
  return `${String(bytes)}B`;
}
