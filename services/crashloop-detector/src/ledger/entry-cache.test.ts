import t from 'tap';
import { EntryCache, type CachedEntry } from './entry-cache.ts';

function cached(version: string, length: number): CachedEntry {
  return { entry: { value: null, version, deadlineMs: null }, decoded: version, length };
}

t.test('who takes an entry has it alone', (t) => {
  const cache = new EntryCache(10_000);
  cache.keep('loop/a', cached('1', 10));
  cache.keep('loop/a', cached('2', 10));

  t.same([...cache.take(['loop/a', 'loop/b'])], [['loop/a', cached('2', 10)]]);
  t.equal(cache.take(['loop/a']).size, 0);
  t.end();
});

t.test('what was kept longest ago makes room', (t) => {
  const cache = new EntryCache(3_000);
  for (const key of ['loop/a', 'loop/b', 'loop/c']) cache.keep(key, cached(key, 1_000));
  t.same([...cache.take(['loop/a', 'loop/b', 'loop/c']).keys()], ['loop/b', 'loop/c']);

  cache.keep('loop/d', cached('d', 2_000));
  cache.keep('loop/e', cached('e', 5_000));
  t.equal(cache.take(['loop/d', 'loop/e']).size, 0, 'also what alone is too long');
  cache.keep('loop/f', cached('f', 2_000));
  t.equal(cache.take(['loop/f']).size, 1, 'what was taken or dropped takes no room');
  t.end();
});
