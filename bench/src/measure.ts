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
  /** The ratio that must not be missed; 0: none. */
  readonly target: number;
  /** Events per second that must not be missed, whatever the floor does. */
  readonly atLeastPerSecond?: number;
  readonly floorName: string;
  measure(): Promise<Measurement>;
  measureFloor(): Promise<Measurement>;
}

/** A number that has a limit of its own instead of a floor; one without a limit is for reading. */
export interface Figure {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  readonly atMost?: number;
  readonly atLeast?: number;
}

export interface FigureSource {
  readonly name: string;
  /** How it is measured, in a line. */
  readonly what: string;
  measure(): Promise<readonly Figure[]>;
}

/** How cost grows along one thing while all others stay as they are. */
export interface Axis {
  readonly name: string;
  /** How it is measured, in a line. */
  readonly what: string;
  /** Names with units; the first is the axis itself. */
  readonly columns: readonly string[];
  /** A number for each column. */
  rows(): AsyncIterable<readonly number[]>;
}

/**
 * Calls `read` until it gives at least `total`, and resolves with the seconds since `startedAt` (a
 * `performance.now()`).
 */
export async function secondsUntil(
  total: number,
  startedAt: number,
  read: () => Promise<number>,
  limitSeconds = 120,
): Promise<number> {
  for (;;) {
    const value = await read();
    const seconds = (performance.now() - startedAt) / 1000;
    if (value >= total) return seconds;
    if (seconds > limitSeconds)
      throw new Error(`Expected ${String(total)} within ${String(limitSeconds)} s, got ${String(value)}`);
    await pause(100);
  }
}

/**
 * Events per second between the first that `read` sees and the last of `total`, for a program whose start is not to be
 * measured.
 */
export async function rateOf(total: number, read: () => Promise<number>): Promise<number> {
  await secondsUntil(1, performance.now(), read);
  const [first, startedAt] = [await read(), performance.now()];
  return (total - first) / (await secondsUntil(total, startedAt, read));
}

export async function pause(ms: number): Promise<void> {
  await new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}

/** One scrape of a service's `/metrics`; gives for a metric the sum of all its samples. */
export async function readMetrics(port: number): Promise<(name: string) => number> {
  const text = await (await fetch(`http://127.0.0.1:${String(port)}/metrics`)).text();
  const lines = text.split('\n');
  return (name) => {
    let sum = 0;
    for (const line of lines) {
      if (line.startsWith(`${name} `) || line.startsWith(`${name}{`))
        sum += Number(line.slice(line.lastIndexOf(' ') + 1));
    }
    return sum;
  };
}

export async function readMetric(port: number, name: string): Promise<number> {
  return (await readMetrics(port))(name);
}
