import t from 'tap';
import { createBackoff } from './backoff.ts';
import { formatDuration, parseDuration } from './durations.ts';
import { describeError, HydrantError, isRetryable } from './errors.ts';
import { formatSize, parseSize } from './sizes.ts';

void t.test('a duration is read as Go writes it', (t) => {
  const cases: readonly (readonly [string, number | undefined])[] = [
    ['25s', 25_000],
    ['5m', 300_000],
    ['1h30m', 5_400_000],
    ['250ms', 250],
    ['1.5s', 1500],
    ['0', 0],
    ['0s', 0],
    ['.5s', 500],
    ['1.s', 1000],
    ['1µs', 0.001],
    ['1μs', 0.001],
    ['1us', 0.001],
    ['3ns', 0.000003],
    ['1m1m', 120_000],
    ['0.1s', 100],
    ['25', undefined],
    ['', undefined],
    ['s', undefined],
    ['-5m', undefined],
    ['5 m', undefined],
    ['5d', undefined],
    ['1h30', undefined],
    ['.s', undefined],
    ['1e3s', undefined],
    ['5M', undefined],
    [' 5m', undefined],
    [`${'9'.repeat(30)}h`, undefined],
  ];
  for (const [text, expected] of cases) t.equal(parseDuration(text), expected, `"${text}"`);
  t.end();
});

void t.test('a duration is written so that it can be read back', (t) => {
  const cases: readonly (readonly [number, string])[] = [
    [0, '0s'],
    [25_000, '25s'],
    [300_000, '5m'],
    [5_400_000, '1h30m'],
    [250, '250ms'],
    [1500, '1.5s'],
    [61_234.567, '1m1.234567s'],
    [0.000003, '0.000003ms'],
    [90_061_000, '25h1m1s'],
  ];
  for (const [ms, expected] of cases) {
    t.equal(formatDuration(ms), expected);
    t.equal(parseDuration(formatDuration(ms)), ms);
  }
  t.end();
});

void t.test('a size is read in decimal and binary units', (t) => {
  const cases: readonly (readonly [string, number | undefined])[] = [
    ['4096', 4096],
    ['4096B', 4096],
    ['0', 0],
    ['256MiB', 268_435_456],
    ['1GiB', 1_073_741_824],
    ['500KB', 500_000],
    ['1.5KiB', 1536],
    ['2 TB', 2e12],
    ['', undefined],
    ['MiB', undefined],
    ['1XB', undefined],
    ['-1', undefined],
    ['1iB', undefined],
    ['1.5', undefined],
    ['1mb', undefined],
    ['9000000TiB', undefined],
  ];
  for (const [text, expected] of cases) t.equal(parseSize(text), expected, `"${text}"`);
  t.end();
});

void t.test('a size is written so that it can be read back', (t) => {
  const cases: readonly (readonly [number, string])[] = [
    [0, '0B'],
    [100, '100B'],
    [268_435_456, '256MiB'],
    [1_610_612_736, '1.5GiB'],
    [500_000, '500KB'],
    [4097, '4097B'],
    [1_234_567, '1234567B'],
  ];
  for (const [bytes, expected] of cases) {
    t.equal(formatSize(bytes), expected);
    t.equal(parseSize(formatSize(bytes)), bytes);
  }
  t.end();
});

void t.test('backoff doubles its ceiling to the maximum and begins again', (t) => {
  const cases: readonly (readonly [number, readonly number[]])[] = [
    [1, [100, 200, 400, 500, 500]],
    [0.5, [50, 100, 200, 250, 250]],
    [0, [0, 0, 0, 0, 0]],
  ];
  for (const [random, expected] of cases) {
    const backoff = createBackoff({ minMs: 100, maxMs: 500, random: () => random });
    t.same(
      expected.map(() => backoff.next()),
      expected,
    );
    backoff.reset();
    t.equal(backoff.next(), expected[0]);
  }
  t.end();
});

void t.test('an error is retryable unless it says otherwise, and tells its causes', (t) => {
  const permanent = new HydrantError('outer', { code: 'x', retryable: false, cause: new Error('inner') });
  t.notOk(isRetryable(permanent));
  t.ok(isRetryable(new Error('unknown')));
  t.equal(describeError(permanent), 'outer: inner');
  t.end();
});
