/** What a soak says of its samples. */
import t from 'tap';
import { describeRate, describeSeries, readRate, readSeries } from './report.ts';
import type { SoakSample } from './sample.ts';

function makeSamples(valuesAt: (seconds: number) => Readonly<Record<string, number>>): readonly SoakSample[] {
  return Array.from({ length: 61 }, (_, position) => ({
    seconds: position * 5,
    made: position * 10_000,
    arrived: position * 9_000,
    values: valuesAt(position * 5),
  }));
}

t.test('a series for each thing looked at, with slope an hour and verdict', (t) => {
  const results = readSeries(
    makeSamples((seconds) => ({ 'memory firehose': 100 + seconds / 10, 'handles firehose': 24 })),
  );

  t.match(describeSeries(results).split('\n'), [
    /^series/u,
    /^memory firehose +115\.0 MiB +\+360\.0 +\+360\.0 to \+360\.0 +rises$/u,
    /^handles firehose +24 +0 +0 to 0 +flat$/u,
  ]);
  t.end();
});

t.test('a sample that lacks a series is left out of it', (t) => {
  const results = readSeries(makeSamples((seconds) => (seconds < 200 ? {} : { 'latency p50': 80 })));

  t.match(results, [{ name: 'latency p50', unit: 'ms', slope: { mean: 80, seconds: 100 }, verdict: 'flat' }]);
  t.end();
});

t.test('says the rate that was reached when it was not the one that was offered', (t) => {
  const samples = makeSamples(() => ({}));

  t.equal(describeRate(readRate(samples, 1_800)), '1,800 events/s held: 2,000 events/s made, 1,800 delivered');
  t.match(
    describeRate(readRate(samples, 2_000)),
    /^The machine did not hold 2,000 events\/s: 2,000 events\/s made, 1,800 delivered/u,
  );
  t.end();
});
