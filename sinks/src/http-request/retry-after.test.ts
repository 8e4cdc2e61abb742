import t from 'tap';
import { parseHttpDate, retryAfterMs } from './retry-after.ts';

const now = Date.UTC(2026, 10, 6, 8, 49, 7);

void t.test('Retry-After is read in every form that HTTP has, as UTC', (t) => {
  process.env['TZ'] = 'America/New_York';
  t.teardown(() => {
    Reflect.deleteProperty(process.env, 'TZ');
  });
  const cases: readonly (readonly [
    value: string | undefined,
    date: string | undefined,
    expected: number | undefined,
  ])[] = [
    [undefined, undefined, undefined],
    ['30', undefined, 30_000],
    ['0', undefined, 0],
    [' 30 ', undefined, 30_000],
    ['Fri, 06 Nov 2026 08:49:37 GMT', undefined, 30_000],
    ['Friday, 06-Nov-26 08:49:37 GMT', undefined, 30_000],
    ['Fri Nov  6 08:49:37 2026', undefined, 30_000],
    ['Fri Nov 16 08:49:07 2026', undefined, 10 * 86_400_000],
    ['Fri, 06 Nov 2026 08:49:37 GMT', 'Fri, 06 Nov 2026 08:49:17 GMT', 20_000],
    ['Fri Nov  6 08:49:37 2026', 'Fri Nov  6 08:49:27 2026', 10_000],
    ['Fri, 06 Nov 2026 08:49:37 GMT', 'yesterday', 30_000],
    ['Sunday, 06-Nov-94 08:49:37 GMT', undefined, 0],
    ['Fri, 06 Nov 2026 08:49:37 +0100', undefined, undefined],
    ['Fri, 06 Foo 2026 08:49:37 GMT', undefined, undefined],
    ['2026-11-06', undefined, undefined],
    ['soon', undefined, undefined],
    ['-5', undefined, undefined],
    ['', undefined, undefined],
  ];
  for (const [value, date, expected] of cases) {
    t.equal(retryAfterMs(value, parseHttpDate(date, now) ?? now), expected, `${String(value)} at ${String(date)}`);
  }
  t.end();
});
