/** The firehose at rising rates that are offered whether or not it keeps up. */
import type { Axis } from './measure.ts';
import { percentile } from './statistics.ts';
import { offerSteadily } from './steady.ts';

const rates = [1000, 4000, 16_000];
const megabyte = 1_000_000;

export function createRateAxis(seconds = 20): Axis {
  return {
    name: 'rate',
    what: `the firehose, ${String(seconds)} s at each rate while a consumer empties the queue`,
    columns: [
      'told to offer, events/s',
      'offered, events/s',
      'published, events/s',
      'lag p99, s',
      'lag max, s',
      'firehose CPU, cores',
      'firehose CPU, s per 100,000 events',
      'firehose VmHWM, MB',
      'broker CPU, s per 100,000 events',
    ],
    async *rows() {
      for (const perSecond of rates) {
        const run = await offerSteadily({ perSecond, seconds });
        yield [
          perSecond,
          run.offeredPerSecond,
          run.publishedPerSecond,
          percentile(run.lagSeconds, 0.99),
          percentile(run.lagSeconds, 1),
          run.cpuShare,
          run.cpuSecondsPer100k,
          run.peakMemory / megabyte,
          run.brokerCpuSecondsPer100k,
        ];
      }
    },
  };
}
