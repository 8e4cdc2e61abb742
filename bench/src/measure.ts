/** One measured run of a path or of its floor. */
export interface Measurement {
  readonly eventsPerSecond: number;
  /** VmHWM of each service of ours, bytes; empty for a floor. */
  readonly peakMemory: Readonly<Record<string, number>>;
  /** CPU time of our services per 100,000 events; undefined for a floor. */
  readonly cpuSecondsPer100k?: number;
}

/** A path through Hydrant beside the barest program that does the same. */
export interface Path {
  readonly name: string;
  /** The ratio that must not be missed. */
  readonly target: number;
  readonly floorName: string;
  measure(): Promise<Measurement>;
  measureFloor(): Promise<Measurement>;
}

/** A number that has a limit of its own instead of a floor. */
export interface Figure {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  readonly atMost: number;
}

export interface FigureSource {
  readonly name: string;
  /** How it is measured, in a line. */
  readonly what: string;
  measure(): Promise<readonly Figure[]>;
}

/** Calls `read` until it gives at least `total`, and resolves with the seconds since `startedAt` (a `performance.now()`). */
export async function secondsUntil(total: number, startedAt: number, read: () => Promise<number>): Promise<number> {
  const limitSeconds = 120;
  for (;;) {
    const value = await read();
    const seconds = (performance.now() - startedAt) / 1000;
    if (value >= total) return seconds;
    if (seconds > limitSeconds) throw new Error(`Expected ${String(total)} events within ${String(limitSeconds)} s, got ${String(value)}`);
    await new Promise((resolve) => { setTimeout(resolve, 100); });
  }
}

/** Events per second between the first that `read` sees and the last of `total`, for a program whose start is not to be measured. */
export async function rateOf(total: number, read: () => Promise<number>): Promise<number> {
  await secondsUntil(1, performance.now(), read);
  const [first, startedAt] = [await read(), performance.now()];
  return (total - first) / (await secondsUntil(total, startedAt, read));
}

/** The sum of all samples of one metric at a service's `/metrics`. */
export async function readMetric(port: number, name: string): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${String(port)}/metrics`)).text();
  let sum = 0;
  for (const line of text.split('\n')) {
    if (line.startsWith(`${name} `) || line.startsWith(`${name}{`)) sum += Number(line.slice(line.lastIndexOf(' ') + 1));
  }
  return sum;
}
