/** The line through a series, its interval and what is said of it. */
import t from 'tap';
import { createRandom } from '../chaos/random.ts';
import { fitSlope, judge, studentT, type Sample } from './slope.ts';

function makeSeries(count: number, valueAt: (second: number) => number): readonly Sample[] {
  return Array.from({ length: count }, (_, position) => ({ seconds: position * 5, value: valueAt(position * 5) }));
}

t.test('finds the slope of a line, and is sure of it', (t) => {
  const slope = fitSlope(makeSeries(60, (second) => 100 + 0.5 * second));

  t.ok(Math.abs((slope?.perSecond ?? NaN) - 0.5) < 1e-9);
  t.ok((slope?.high ?? NaN) - (slope?.low ?? NaN) < 1e-6);
  t.equal(judge(slope, 1), 'rises');
  t.end();
});

t.test('the interval is that of a known example', (t) => {
  // Values 1 to 10 with alternating errors of ±1: residuals that are not alike, so nothing is widened.
  const slope = fitSlope(
    Array.from({ length: 10 }, (_, position) => ({
      seconds: position + 1,
      value: position + 1 + (position % 2 === 0 ? 1 : -1),
    })),
  );

  t.ok(Math.abs((slope?.perSecond ?? NaN) - (1 - 5 / 82.5)) < 1e-9);
  const squares = 10 - 5 ** 2 / 82.5;
  t.ok(Math.abs((slope?.high ?? NaN) - (slope?.perSecond ?? NaN) - 2.306 * Math.sqrt(squares / 8 / 82.5)) < 1e-3);
  t.end();
});

for (const [freedom, expected] of [
  [4, 2.776],
  [5, 2.571],
  [10, 2.228],
  [30, 2.042],
  [120, 1.98],
] as const) {
  t.test(`Student's quantile of ${String(freedom)} degrees of freedom`, (t) => {
    t.ok(Math.abs(studentT(freedom) - expected) < 0.01, String(studentT(freedom)));
    t.end();
  });
}

const random = createRandom(11);
const cases = [
  { name: 'noise around a mean', series: makeSeries(120, () => 100 + 4 * (random() - 0.5)), verdict: 'flat' },
  { name: 'nothing but zeros', series: makeSeries(60, () => 0), verdict: 'flat' },
  {
    name: 'a leak under noise',
    series: makeSeries(120, (second) => 100 + second / 20 + 4 * (random() - 0.5)),
    verdict: 'rises',
  },
  {
    name: 'a fall under noise',
    series: makeSeries(120, (second) => 100 - second / 20 + 4 * (random() - 0.5)),
    verdict: 'falls',
  },
  { name: 'a rise too small to matter', series: makeSeries(120, (second) => 100 + second / 300), verdict: 'flat' },
  { name: 'noise that could hide a leak', series: makeSeries(20, () => 100 * random()), verdict: 'unclear' },
  { name: 'too few samples', series: makeSeries(9, (second) => second), verdict: 'unclear' },
] as const;

for (const { name, series, verdict } of cases) {
  t.test(`${name}: ${verdict}`, (t) => {
    t.equal(judge(fitSlope(series), 1), verdict);
    t.end();
  });
}

t.test('samples that resemble their neighbours are worth less', (t) => {
  const steps = createRandom(4);
  let value = 100;
  const wandering = makeSeries(120, () => (value += steps() - 0.5));
  const mixed = createRandom(5);
  const shuffled = [...wandering]
    .map(({ value: each }) => ({ each, place: mixed() }))
    .sort((left, right) => left.place - right.place)
    .map(({ each }, position) => ({ seconds: position * 5, value: each }));
  const widthOf = (series: readonly Sample[]): number => {
    const slope = fitSlope(series);
    return (slope?.high ?? NaN) - (slope?.low ?? NaN);
  };

  t.ok(widthOf(wandering) > widthOf(shuffled));
  t.end();
});
