/** Metrics of one service. prom-client is named in this file and nowhere else. */
import {
  Counter as PromCounter,
  Gauge as PromGauge,
  Histogram as PromHistogram,
  Registry,
  collectDefaultMetrics,
} from 'prom-client';

export interface MetricOptions<L extends string> {
  /** `hydrant_<service>_<noun>_<unit>_total` and friends. */
  readonly name: string;
  readonly help: string;
  readonly labels?: readonly L[];
}

export interface GaugeOptions<L extends string> extends MetricOptions<L> {
  readonly read?: () => number;
  readonly readEach?: () => readonly { readonly labels: Readonly<Record<L, string>>; readonly value: number }[];
}

export interface Counter<L extends string = never> {
  inc(value?: number, labels?: Readonly<Record<L, string>>): void;
}

export interface Gauge<L extends string = never> {
  set(value: number, labels?: Readonly<Record<L, string>>): void;
}

export interface Histogram<L extends string = never> {
  observe(value: number, labels?: Readonly<Record<L, string>>): void;
}

export interface Metrics {
  counter<L extends string = never>(options: MetricOptions<L>): Counter<L>;
  /**
   * With `read`, the value is asked for at each scrape, of two for one name by the newer one; with `readEach`, the
   * values of all labels.
   */
  gauge<L extends string = never>(options: GaugeOptions<L>): Gauge<L>;
  histogram<L extends string = never>(
    options: MetricOptions<L> & { readonly buckets: readonly number[] },
  ): Histogram<L>;
  /** The exposition text. */
  text(): Promise<string>;
  readonly contentType: string;
}

/**
 * A registry of its own, with the process's default metrics and `hydrant_build_info`. Asking twice for one name gives
 * the same metric.
 */
export function createMetrics({ service, version }: { readonly service: string; readonly version: string }): Metrics {
  const registry = new Registry();
  const reads = new Map<string, () => number>();
  collectDefaultMetrics({ register: registry });
  new PromGauge({
    name: 'hydrant_build_info',
    help: 'Always 1; the version that runs.',
    labelNames: ['service', 'version'],
    registers: [registry],
  }).set({ service, version }, 1);

  return {
    contentType: registry.contentType,
    text: () => registry.metrics(),
    counter<L extends string>({ name, help, labels = [] }: MetricOptions<L>): Counter<L> {
      const existing = registry.getSingleMetric(name);
      const counter =
        existing instanceof PromCounter
          ? existing
          : new PromCounter({ name, help, labelNames: [...labels], registers: [registry] });
      return {
        inc(value = 1, values) {
          if (values === undefined) counter.inc(value);
          else counter.inc(values, value);
        },
      };
    },
    gauge<L extends string>({ name, help, labels = [], read, readEach }: GaugeOptions<L>): Gauge<L> {
      const existing = registry.getSingleMetric(name);
      if (read !== undefined) reads.set(name, read);
      const collect =
        read === undefined && readEach === undefined
          ? {}
          : {
              collect(this: PromGauge): void {
                if (read !== undefined) this.set(reads.get(name)?.() ?? 0);
                for (const each of readEach?.() ?? []) this.set(each.labels, each.value);
              },
            };
      const gauge =
        existing instanceof PromGauge
          ? existing
          : new PromGauge({ name, help, labelNames: [...labels], registers: [registry], ...collect });
      return {
        set(value, values) {
          if (values === undefined) gauge.set(value);
          else gauge.set(values, value);
        },
      };
    },
    histogram<L extends string>({
      name,
      help,
      labels = [],
      buckets,
    }: MetricOptions<L> & { readonly buckets: readonly number[] }): Histogram<L> {
      const existing = registry.getSingleMetric(name);
      const histogram =
        existing instanceof PromHistogram
          ? existing
          : new PromHistogram({ name, help, labelNames: [...labels], buckets: [...buckets], registers: [registry] });
      return {
        observe(value, values) {
          if (values === undefined) histogram.observe(value);
          else histogram.observe(values, value);
        },
      };
    },
  };
}
