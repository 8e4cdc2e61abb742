import { readFileSync } from 'node:fs';
import t from 'tap';
import { detectorRedisNeeds } from './redis-needs.ts';

const store = new URL('../../../../shared/src/state/redis/redis-state-store.ts', import.meta.url);
const script = new URL('../../../../shared/lua/commit-state-1.lua', import.meta.url);

t.test('doctor tries every command of the store, and no other', (t) => {
  const inScript = [...readFileSync(script, 'utf8').matchAll(/redis\.p?call\('([A-Za-z]+)'/gu)];
  const beside = [...readFileSync(store, 'utf8').matchAll(/#redis\.run\('([A-Z]+)'/gu)];
  const used = [...inScript, ...beside].map(([, name = '']) => name.toUpperCase());
  const tried = detectorRedisNeeds.flatMap(({ commands }) => commands.map(([name]) => name));

  t.same([...new Set(tried)].toSorted(), [...new Set(used)].toSorted());
  t.end();
});
