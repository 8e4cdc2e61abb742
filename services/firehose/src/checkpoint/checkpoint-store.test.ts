import { readFileSync, writeFileSync } from 'node:fs';
import { systemClock } from '@hydrant/shared/foundation/clock';
import { describeError, HydrantError } from '@hydrant/shared/foundation/errors';
import { createRedisClient, type RedisClient } from '@hydrant/shared/redis/redis-client';
import { eventually } from '@hydrant/testing/eventually';
import { findOpenToOthers } from '@hydrant/testing/open-to-others';
import { probe } from '@hydrant/testing/probe';
import { startPrivateRedis, type PrivateRedis } from '@hydrant/testing/private-redis';
import { testFolder } from '@hydrant/testing/test-folder';
import { testLog } from '@hydrant/testing/test-log';
import t, { type Test } from 'tap';
import type { Checkpoint, CheckpointStore } from './checkpoint-store.ts';
import { createFileCheckpointStore } from './file-checkpoint-store.ts';
import { loadCheckpoint } from './load-checkpoint.ts';
import { checkpointKey, createRedisCheckpointStore } from './redis-checkpoint-store.ts';
import { CheckpointSaver, type CheckpointTelemetry } from './saver.ts';

const forever = new AbortController().signal;
const key = 'checkpoint:prod:default';
const checkpoint: Checkpoint = {
  index: 42,
  filter: 'topics=Job namespace=* region=',
  source: 'http://nomad:4646',
  namespacesAt: 17,
  epoch: 2,
  topicIndexes: { Job: 41 },
};

async function connect(t: Test, server: PrivateRedis): Promise<RedisClient> {
  const redis = createRedisClient({ url: server.url, keyPrefix: 'hydrant:', log: testLog() });
  await redis.start(forever);
  t.teardown(() => redis.stop(forever));
  await eventually(() => redis.healthCheck.check().status === 'pass');
  return redis;
}

function openStore(redis: RedisClient): CheckpointStore {
  return createRedisCheckpointStore({
    redis,
    keyPrefix: 'hydrant:',
    cluster: 'prod',
    region: 'default',
    clock: systemClock,
  });
}

/** Runs one command. */
function command(redis: RedisClient, name: string, lua: string): Promise<unknown> {
  return redis.script({ name, lua: `return redis.call(${lua})`, numberOfKeys: 1 })(key);
}

interface Telemetry extends CheckpointTelemetry {
  readonly seen: string[];
}

function watch(): Telemetry {
  const seen: string[] = [];
  return {
    seen,
    checkpointLoaded: ({ index }) => {
      seen.push(`loaded ${String(index)}`);
    },
    checkpointUnreadable: () => {
      seen.push('unreadable');
    },
    checkpointSaved: (index) => {
      seen.push(`saved ${String(index)}`);
    },
    checkpointSaveFailed: ({ isFirst }) => {
      if (isFirst) seen.push('failed');
    },
    checkpointSaveResumed: () => {
      seen.push('resumed');
    },
    checkpointTakenOver: () => {
      seen.push('taken over');
    },
  };
}

t.test('Redis keeps the checkpoint with all its fields', async (t) => {
  const redis = await connect(t, await startPrivateRedis(t));
  const store = openStore(redis);
  t.equal(await store.load(forever), undefined);

  await store.save(checkpoint);

  t.strictSame(await openStore(redis).load(forever), checkpoint);
  const stored = await command(redis, 'readAll', "'HMGET', KEYS[1], 'index', 'updated_at', 'token'");
  t.match(stored, ['42', /^\d{4}-\d\d-\d\dT[\d:.]+Z$/u, /^\d{16}$/u]);
});

t.test('of two firehoses only the one that came last moves the checkpoint', async (t) => {
  const redis = await connect(t, await startPrivateRedis(t));
  const [first, second] = [openStore(redis), openStore(redis)];
  await first.load(forever);
  await second.load(forever);
  await first.save(checkpoint);
  await second.save({ ...checkpoint, index: 43 });

  await t.rejects(first.save({ ...checkpoint, index: 44 }), { code: 'checkpoint-taken-over', retryable: false });

  t.match(await openStore(redis).load(forever), { index: 43 });
});

t.test('a token is higher than the stored one even when the clock was set back', async (t) => {
  const redis = await connect(t, await startPrivateRedis(t));
  await command(redis, 'plant', "'HSET', KEYS[1], 'token', '4000000000000000', 'index', '7'");
  const store = openStore(redis);

  t.match(await store.load(forever), { index: 7, filter: '' });
  await store.save(checkpoint);

  t.equal(await command(redis, 'readToken', "'HGET', KEYS[1], 'token'"), '4000000000000001');
});

t.test('a stored checkpoint that is no number is refused and left alone', async (t) => {
  const redis = await connect(t, await startPrivateRedis(t));
  const message =
    /Redis key hydrant:checkpoint:prod:default to be a whole number, got "12a"; set it right with "HSET .* or remove it with "DEL hydrant:checkpoint:prod:default"/u;
  const store = openStore(redis);
  await store.load(forever);
  await command(redis, 'spoil', "'HSET', KEYS[1], 'index', '12a'");

  await t.rejects(openStore(redis).load(forever), { code: 'checkpoint-invalid', retryable: false, message });
  await t.rejects(loadCheckpoint({ store: openStore(redis), telemetry: watch(), clock: systemClock }, forever), {
    code: 'checkpoint-invalid',
  });
  await t.rejects(store.save(checkpoint), { code: 'checkpoint-invalid' });
  t.equal(await command(redis, 'readIndex', "'HGET', KEYS[1], 'index'"), '12a');

  await command(redis, 'spoilType', "'SET', KEYS[1], 'x'");
  await t.rejects(openStore(redis).load(forever), { code: 'checkpoint-invalid', message: /got "a string"/u });
});

t.test('saving outlives a Redis that goes away, and loading waits for it', async (t) => {
  const server = await startPrivateRedis(t);
  const redis = await connect(t, server);
  const store = openStore(redis);
  const telemetry = watch();
  await server.stop();
  const loading = loadCheckpoint({ store, telemetry, clock: systemClock }, forever);
  await eventually(() => telemetry.seen.includes('unreadable'));
  await server.start();
  t.equal(await loading, undefined);

  let index: number | undefined;
  const saver = new CheckpointSaver({
    store,
    telemetry,
    clock: systemClock,
    current: () => (index === undefined ? undefined : { ...checkpoint, index }),
  });
  saver.start();
  t.teardown(() => saver.stop(forever));
  index = 10;
  await eventually(() => telemetry.seen.includes('saved 10'));
  await server.stop();
  index = 11;
  await eventually(() => telemetry.seen.includes('failed'));
  index = 12;
  await server.start();
  await eventually(() => telemetry.seen.includes('saved 12') && telemetry.seen.includes('resumed'), {
    timeoutMs: 20_000,
  });
  index = 13;
  await saver.stop(forever);

  t.match(await openStore(redis).load(forever), { index: 13 }, 'stopping saves the newest');
  t.notOk(telemetry.seen.includes('saved 11'));
});

t.test(
  'a Redis that takes no writes is named with the way out, and is given the newest checkpoint when it does',
  async (t) => {
    const faults = [
      [
        'CONFIG SET maxmemory 1',
        'CONFIG SET maxmemory 0',
        /run the script saveCheckpoint, it refused; it is full: raise its maxmemory.*OOM/u,
      ],
      [
        'REPLICAOF 127.0.0.1 1',
        'REPLICAOF NO ONE',
        /run the script saveCheckpoint, it refused; it is a replica: point REDIS_URL to the master.*READONLY/u,
      ],
    ] as const;
    for (const [breaking, healing, message] of faults) {
      const server = await startPrivateRedis(t);
      const tell = (command: string): Promise<boolean> =>
        probe(server.port, Buffer.from(`${command}\r\n`), (bytes) => bytes.toString().startsWith('+OK'));
      const redis = await connect(t, server);
      const store = openStore(redis);
      await store.load(forever);
      await store.save(checkpoint);
      t.ok(await tell(breaking), breaking);
      const failures: string[] = [];
      const telemetry: Telemetry = {
        ...watch(),
        checkpointSaveFailed: ({ err }) => {
          failures.push(describeError(err));
        },
      };
      const saver = new CheckpointSaver({
        store,
        telemetry,
        clock: systemClock,
        current: () => ({ ...checkpoint, index: 43 }),
      });
      saver.start();
      t.teardown(() => saver.stop(forever));

      await eventually(() => failures.length > 0);
      t.match(failures[0], message);
      t.match(await openStore(redis).load(forever), checkpoint, 'nothing was overwritten');
      t.ok(await tell(healing), healing);
      await eventually(() => telemetry.seen.includes('saved 43'), { timeoutMs: 30_000 });

      t.match(await openStore(redis).load(forever), { index: 43 });
    }
  },
);

t.test('a saver goes on when there was nothing to save at first', async (t) => {
  const saved: number[] = [];
  const store: CheckpointStore = {
    description: 'a fake',
    load: () => Promise.resolve(undefined),
    save(checkpoint) {
      saved.push(checkpoint.index);
      return Promise.resolve();
    },
  };
  let looks = 0;
  const saver = new CheckpointSaver({
    store,
    telemetry: watch(),
    clock: systemClock,
    current: () => {
      looks += 1;
      return looks < 3 ? undefined : checkpoint;
    },
  });
  saver.start();
  t.teardown(() => saver.stop(forever));

  await eventually(() => saved.length > 0);

  t.strictSame(saved, [checkpoint.index]);
});

t.test('a saver that was taken over saves no more', async (t) => {
  const telemetry = watch();
  let saves = 0;
  const store: CheckpointStore = {
    description: 'a fake',
    load: () => Promise.resolve(undefined),
    save() {
      saves += 1;
      return Promise.reject(
        new HydrantError('Expected to be the only one', { code: 'checkpoint-taken-over', retryable: false }),
      );
    },
  };
  const saver = new CheckpointSaver({ store, telemetry, clock: systemClock, current: () => checkpoint });
  saver.start();
  await eventually(() => telemetry.seen.length > 0);

  await saver.stop(forever);

  t.strictSame(telemetry.seen, ['taken over']);
  t.equal(saves, 1);
});

function openFile(
  path: string,
  identity: { readonly cluster?: string; readonly region?: string } = {},
): CheckpointStore {
  return createFileCheckpointStore({ path, cluster: 'prod', region: '', ...identity, clock: systemClock });
}

t.test('a file keeps the checkpoint', async (t) => {
  const path = `${testFolder(t, {})}/state/checkpoint.json`;
  const store = openFile(path);
  t.equal(await store.load(forever), undefined);

  await store.save(checkpoint);
  await store.save({ ...checkpoint, index: 43 });

  t.strictSame(await openFile(path).load(forever), { ...checkpoint, index: 43 });
  t.match(JSON.parse(readFileSync(path, 'utf8')), { cluster: 'prod', region: '', index: 43, updated_at: /Z$/u });
});

t.test('nobody but the owner can read the file', async (t) => {
  const folder = `${testFolder(t, {})}/state`;
  const store = openFile(`${folder}/deep/checkpoint.json`);
  await store.load(forever);

  await store.save(checkpoint);

  t.strictSame(await findOpenToOthers(folder), { open: [], seen: ['deep', 'deep/checkpoint.json'] });
});

t.test(
  'a checkpoint belongs to its cluster and region: another begins without one, and the first is kept',
  async (t) => {
    const path = `${testFolder(t, {})}/checkpoint.json`;
    const home = openFile(path);
    await home.load(forever);
    await home.save(checkpoint);
    for (const [other, index] of [
      [{ region: 'eu' }, 7],
      [{ cluster: 'test' }, 8],
      [{ cluster: 'prod:default' }, 9],
    ] as const) {
      const store = openFile(path, other);
      t.equal(await store.load(forever), undefined, JSON.stringify(other));
      await store.save({ ...checkpoint, index });
      t.match(await openFile(path, other).load(forever), { index });
    }

    t.strictSame(await openFile(path).load(forever), checkpoint);
  },
);

t.test('a file with one checkpoint and no name is that of the region in its filter', async (t) => {
  const path = `${testFolder(t, {})}/checkpoint.json`;
  writeFileSync(path, '{"index":50,"filter":"topics=Job namespace=* region=","source":"http://nomad:4646"}');

  t.equal(await openFile(path, { region: 'eu' }).load(forever), undefined);
  t.match(await openFile(path).load(forever), { index: 50 });
});

t.test('keys of different clusters and regions differ', (t) => {
  const identities = [
    ['a:b', 'c'],
    ['a', 'b:c'],
    ['a%3Ab', 'c'],
    ['a', ''],
    ['a', 'b'],
    ['a', 'c'],
  ] as const;
  const keys = identities.map(([cluster, region]) => checkpointKey({ cluster, region }));
  t.equal(new Set(keys).size, identities.length);
  t.equal(keys[3], 'checkpoint:a:default');
  t.end();
});

t.test('a file that holds no number is refused and left alone', async (t) => {
  for (const text of [
    '',
    'x',
    '[]',
    '{}',
    '{"others":{}}',
    '{"index":7,"others":[]}',
    '{"index":"many"}',
    '{"index":-1}',
    '{"index":1.5}',
  ]) {
    const path = `${testFolder(t, {})}/checkpoint.json`;
    writeFileSync(path, text);
    await t.rejects(openFile(path).load(forever), { code: 'checkpoint-invalid', message: /move the file away/u }, text);
    t.equal(readFileSync(path, 'utf8'), text);
  }
});
