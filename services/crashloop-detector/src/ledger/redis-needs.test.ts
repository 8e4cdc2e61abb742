import { readdirSync, readFileSync } from 'node:fs';
import t from 'tap';
import { detectorRedisNeeds } from './redis-needs.ts';

const folder = new URL('../../lua/', import.meta.url);

t.test('doctor tries every command of the scripts, and no other', (t) => {
  const used = readdirSync(folder).flatMap((file) => [...readFileSync(new URL(file, folder), 'utf8').matchAll(/redis\.p?call\('([A-Za-z]+)'/gu)].map(([, name = '']) => name.toUpperCase()));
  const tried = detectorRedisNeeds.flatMap(({ commands }) => commands.map(([name]) => name));

  t.same([...new Set(tried)].toSorted(), [...new Set(used)].filter((name) => name !== 'TIME').toSorted());
  t.end();
});
