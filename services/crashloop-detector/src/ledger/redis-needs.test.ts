import { readFileSync } from 'node:fs';
import { systemClock } from '@hydrant/shared/foundation/clock';
import { examineRedis } from '@hydrant/shared/redis/examine-redis';
import { createRedisClient } from '@hydrant/shared/redis/redis-client';
import { readDeployedUser } from '@hydrant/testing/deployed-redis';
import { eventually } from '@hydrant/testing/eventually';
import { startPrivateRedis } from '@hydrant/testing/private-redis';
import { testLog } from '@hydrant/testing/test-log';
import t from 'tap';
import { detectorRedisNeeds } from './redis-needs.ts';

const store = new URL('../../../../shared/src/state/redis/redis-state-store.ts', import.meta.url);
const scripts = ['commit-state-1', 'load-changed-state-1'].map(
  (name) => new URL(`../../../../shared/lua/${name}.lua`, import.meta.url),
);

t.test('doctor tries every command of the store, and no other', (t) => {
  const inScript = scripts.flatMap((script) => [
    ...readFileSync(script, 'utf8').matchAll(/redis\.p?call\('([A-Za-z]+)'/gu),
  ]);
  const beside = [...readFileSync(store, 'utf8').matchAll(/#redis\.run\('([A-Z]+)'/gu)];
  const used = [...inScript, ...beside].map(([, name = '']) => name.toUpperCase());
  const tried = detectorRedisNeeds.flatMap(({ commands }) => commands.map(([name]) => name));

  t.same([...new Set(tried)].toSorted(), [...new Set(used)].toSorted());
  t.end();
});

const forever = new AbortController().signal;

t.test('the user of deploy/nomad may do all of it', async (t) => {
  const server = await startPrivateRedis(t);
  const { rules, url } = await readDeployedUser(server, 'hydrant-crashloop-detector');
  const admin = createRedisClient({ url: server.url, keyPrefix: '', log: testLog() });
  t.teardown(() => admin.stop(AbortSignal.abort()));
  await admin.start(AbortSignal.abort());
  await eventually(() => admin.healthCheck.check().status === 'pass');
  await admin.run('ACL', 'SETUSER', 'hydrant-crashloop-detector', ...rules);

  const findings = await examineRedis(
    createRedisClient({ url, keyPrefix: 'hydrant:', log: testLog() }),
    detectorRedisNeeds,
    systemClock,
  ).examine(forever);

  t.same(
    findings.filter(({ isWell }) => !isWell),
    [],
  );
});
