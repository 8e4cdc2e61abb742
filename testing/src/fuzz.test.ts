import t from 'tap';
import { createRandom, fuzz } from './fuzz.ts';

t.test('a seed gives the same values again, another one others', (t) => {
  const draw = (seed: number): unknown => {
    const random = createRandom(seed);
    return [random.below(1000), random.oneIn(2), random.pick(['a', 'b', 'c']), random.bytes(4).toString('hex')];
  };
  t.strictSame(draw(7), draw(7));
  t.notSame(draw(7), draw(8));
  const random = createRandom(1);
  const drawn = Array.from({ length: 1000 }, () => random.below(10));
  t.same([...new Set(drawn)].sort(), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], 'every value below the limit, and none above');
  t.end();
});

t.test('a round that fails is named by its seed', async (t) => {
  const seeds: number[] = [];
  const failing = fuzz({ comment: () => undefined }, (_random, seed) => {
    seeds.push(seed);
    if (seeds.length === 3) throw new Error('that one');
  });
  await t.rejects(failing, { message: /FUZZ_SEED=\d+ repeats it: that one/u });
  t.same(
    seeds.map((seed) => seed - (seeds[0] ?? 0)),
    [0, 1, 2],
  );
});
