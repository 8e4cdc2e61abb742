import t from 'tap';
import { createBackoff } from './backoff.ts';
import { formatDuration, parseDuration } from './durations.ts';
import { describeError, HydrantError, isRetryable } from './errors.ts';
import { formatSize, parseSize } from './sizes.ts';

void t.test('a duration is read as Go writes it', (t) => {
  const cases: readonly (readonly [string, number | undefined])[] = [
    ['25s', 25_000], ['5m', 300_000], ['1h30m', 5_400_000], ['250ms', 250], ['1.5s', 1500], ['0', 0], ['0s', 0],
    ['25', undefined], ['', undefined], ['s', undefined], ['-5m', undefined], ['5 m', undefined], ['5d', undefined], ['1h30', undefined],
  ];
  for (const [text, expected] of cases) t.equal(parseDuration(text), expected, text);
  for (const text of ['25s', '5m', '1h30m', '250ms', '1.5s', '0ms']) t.equal(formatDuration(parseDuration(text) ?? NaN), text);
  t.end();
});

void t.test('a size is read in decimal and binary units', (t) => {
  const cases: readonly (readonly [string, number | undefined])[] = [
    ['4096', 4096], ['256MiB', 268_435_456], ['1GiB', 1_073_741_824], ['500KB', 500_000], ['1.5KiB', 1536],
    ['', undefined], ['MiB', undefined], ['1XB', undefined], ['-1', undefined],
  ];
  for (const [text, expected] of cases) t.equal(parseSize(text), expected, text);
  t.equal(formatSize(268_435_456), '256MiB');
  t.equal(formatSize(100), '100B');
  t.end();
});

void t.test('backoff doubles its ceiling to the maximum and begins again', (t) => {
  const backoff = createBackoff({ minMs: 100, maxMs: 500, random: () => 1 });
  t.same([backoff.next(), backoff.next(), backoff.next(), backoff.next()], [100, 200, 400, 500]);
  backoff.reset();
  t.equal(backoff.next(), 100);
  t.end();
});

void t.test('an error is retryable unless it says otherwise, and tells its causes', (t) => {
  const permanent = new HydrantError('outer', { code: 'x', retryable: false, cause: new Error('inner') });
  t.notOk(isRetryable(permanent));
  t.ok(isRetryable(new Error('unknown')));
  t.equal(describeError(permanent), 'outer: inner');
  t.end();
});
