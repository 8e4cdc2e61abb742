import t from 'tap';
import { HydrantError } from '../../foundation/errors.ts';
import { createRepeats, failureKind } from './repeats.ts';

t.test('what lasts is told once, then each minute with how often it happened', (t) => {
  let nowMs = 0;
  const repeats = createRepeats({ monotonic: () => nowMs });
  const heard: (readonly [number, string, number])[] = [];
  for (const [second, key] of [
    [0, 'a'],
    [1, 'a'],
    [2, 'b'],
    [59, 'a'],
    [60, 'a'],
    [61, 'b'],
    [62, 'b'],
    [119, 'a'],
  ] as const) {
    nowMs = second * 1000;
    const count = repeats.count(key);
    if (count !== undefined) heard.push([second, key, count]);
  }

  t.strictSame(heard, [
    [0, 'a', 1],
    [2, 'b', 1],
    [60, 'a', 3],
    [62, 'b', 2],
  ]);
  repeats.forget();
  t.equal(repeats.count('a'), 1, 'after it was over it is news');
  for (let n = 0; n < 1_000; n += 1) repeats.count(String(n));
  t.equal(repeats.count('a'), 1, 'it remembers so many');
  t.end();
});

t.test('failures of one kind have the same codes, whatever their text says', (t) => {
  const make = (port: number, code: string): Error =>
    new HydrantError(`Cannot reach port ${String(port)}`, {
      code: 'nomad-unreachable',
      retryable: true,
      cause: Object.assign(new Error(String(port)), { code }),
    });
  t.equal(failureKind(make(1, 'ECONNREFUSED')), failureKind(make(2, 'ECONNREFUSED')));
  t.not(failureKind(make(1, 'ECONNREFUSED')), failureKind(make(1, 'ECONNRESET')));
  t.not(failureKind(new TypeError('x')), failureKind(new RangeError('x')));
  t.equal(failureKind('text'), '');
  t.end();
});
