/** What is read of a process that runs. */
import t from 'tap';
import type { ServiceProcess } from '../service-process.ts';
import { takeSample } from './sample.ts';

t.test(
  'a sample has memory and handles of each process, latencies and what is on its way',
  { skip: process.platform === 'linux' ? false : 'reads /proc' },
  async (t) => {
    const own = { service: 'firehose', pid: process.pid } as ServiceProcess;
    const latencies = Array.from({ length: 100 }, (_, position) => 100 - position);

    const sample = await takeSample(5, {
      processes: new Map([['firehose', own]]),
      tally: { made: 30, arrived: 12 },
      channel: undefined,
      takeLatencies: () => latencies,
    });

    t.match(sample, {
      seconds: 5,
      made: 30,
      arrived: 12,
      values: { 'latency p50': 50, 'latency p99': 99, 'on their way': 18 },
    });
    t.ok((sample.values['memory firehose'] ?? 0) > 20);
    t.ok((sample.values['handles firehose'] ?? 0) > 3);
  },
);

t.test('without a delivery there is no latency', async (t) => {
  const sample = await takeSample(5, {
    processes: new Map(),
    tally: { made: 0, arrived: 0 },
    channel: undefined,
    takeLatencies: () => [],
  });

  t.strictSame(sample.values, { 'on their way': 0 });
});
