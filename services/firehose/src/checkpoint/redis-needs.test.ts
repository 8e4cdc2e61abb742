import { readFileSync } from 'node:fs';
import t from 'tap';
import { firehoseRedisNeeds } from './redis-needs.ts';

function commandsOf(files: readonly string[]): readonly string[] {
  const used = files.flatMap((file) => [...readFileSync(new URL(`../../lua/${file}`, import.meta.url), 'utf8').matchAll(/redis\.p?call\('([A-Za-z]+)'/gu)].map(([, name = '']) => name.toUpperCase()));
  return [...new Set(used)].filter((name) => name !== 'TIME').toSorted();
}

t.test('doctor tries every command of the scripts, and those of the lease only where there is one', (t) => {
  const [checkpoint, lease] = firehoseRedisNeeds({ withLease: true }).map(({ commands }) => commands.map(([name]) => name).toSorted());

  t.same(checkpoint, commandsOf(['load-checkpoint-1.lua', 'save-checkpoint-1.lua']));
  t.same(lease, commandsOf(['take-lease-2.lua', 'release-lease-1.lua']));
  t.equal(firehoseRedisNeeds({ withLease: false }).length, 1);
  t.end();
});
