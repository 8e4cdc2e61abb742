import { readFileSync } from 'node:fs';
import { systemClock } from '@hydrant/shared/foundation/clock';
import { examineRedis } from '@hydrant/shared/redis/examine-redis';
import { createRedisClient } from '@hydrant/shared/redis/redis-client';
import { readDeployedUser } from '@hydrant/testing/deployed-redis';
import { eventually } from '@hydrant/testing/eventually';
import { startPrivateRedis } from '@hydrant/testing/private-redis';
import { testLog } from '@hydrant/testing/test-log';
import t from 'tap';
import { firehoseRedisNeeds } from './redis-needs.ts';

function commandsOf(files: readonly string[]): readonly string[] {
  const used = files.flatMap((file) =>
    [
      ...readFileSync(new URL(`../../lua/${file}`, import.meta.url), 'utf8').matchAll(/redis\.p?call\('([A-Za-z]+)'/gu),
    ].map(([, name = '']) => name.toUpperCase()),
  );
  return [...new Set(used)].filter((name) => name !== 'TIME').toSorted();
}

t.test('doctor tries every command of the scripts, and those of the lease only where there is one', (t) => {
  const [checkpoint, lease] = firehoseRedisNeeds({ withLease: true }).map(({ commands }) =>
    commands.map(([name]) => name).toSorted(),
  );

  t.same(checkpoint, commandsOf(['load-checkpoint-1.lua', 'save-checkpoint-1.lua']));
  t.same(lease, commandsOf(['take-lease-2.lua', 'release-lease-1.lua']));
  t.equal(firehoseRedisNeeds({ withLease: false }).length, 1);
  t.end();
});

const forever = new AbortController().signal;

t.test('the user of deploy/nomad may do all of it', async (t) => {
  const server = await startPrivateRedis(t);
  const { rules, url } = await readDeployedUser(server, 'hydrant-firehose');
  const admin = createRedisClient({ url: server.url, keyPrefix: '', log: testLog() });
  t.teardown(() => admin.stop(AbortSignal.abort()));
  await admin.start(AbortSignal.abort());
  await eventually(() => admin.healthCheck.check().status === 'pass');
  await admin.run('ACL', 'SETUSER', 'hydrant-firehose', ...rules);

  const findings = await examineRedis(
    createRedisClient({ url, keyPrefix: 'hydrant:', log: testLog() }),
    firehoseRedisNeeds({ withLease: true }),
    systemClock,
  ).examine(forever);

  t.same(
    findings.filter(({ isWell }) => !isWell),
    [],
  );
});
