import { systemClock } from '@hydrant/shared/foundation/clock';
import { createRedisClient } from '@hydrant/shared/redis/redis-client';
import { loadConfig } from '@hydrant/shared/runtime/config/load-config';
import { createMetrics } from '@hydrant/shared/runtime/telemetry/metrics';
import { createMemorySpool } from '@hydrant/shared/spool/memory-spool';
import { startSimulator } from '@hydrant/simulator/simulator';
import { eventually } from '@hydrant/testing/eventually';
import { startPrivateRedis } from '@hydrant/testing/private-redis';
import { recordingLog } from '@hydrant/testing/test-log';
import t from 'tap';
import { createRedisCheckpointStore } from '../checkpoint/redis-checkpoint-store.ts';
import { leaseSettings, nomadSettings, readFirehoseOptions, streamSettings } from '../config.ts';
import { createFirehose } from '../firehose.ts';
import { createFailover } from './failover.ts';
import { makeHolderName } from './holder-name.ts';
import { createLeaseTelemetry } from './lease-telemetry.ts';
import { Lease } from './lease.ts';
import { createRedisLeaseStore } from './redis-lease-store.ts';

const forever = new AbortController().signal;
const events = 879;

t.test(
  'a leader without Redis stops publishing when its lease ends, reads on, and goes on where it stopped',
  async (t) => {
    const simulator = await startSimulator({ paused: true, speed: 10 });
    t.teardown(() => simulator.close());
    const server = await startPrivateRedis(t);
    const { log, lines } = recordingLog();
    const metrics = createMetrics({ service: 'firehose', version: '0' });
    const place = {
      redis: createRedisClient({ url: server.url, keyPrefix: '', log }),
      keyPrefix: '',
      cluster: 'prod',
      region: 'default',
    };
    t.teardown(() => place.redis.stop(forever));
    await place.redis.start(forever);
    const options = readFirehoseOptions(
      loadConfig(
        { ...nomadSettings, ...streamSettings, ...leaseSettings },
        { env: { NOMAD_ADDR: simulator.url, FIREHOSE_CLUSTER: 'prod', FIREHOSE_HA: 'true' } },
      ),
    );
    const published = new Set<string>();
    const bus = {
      hasQueue: () => Promise.resolve(true),
      publish: ({ id }: { readonly id: string }) => {
        published.add(id);
        return Promise.resolve('routed' as const);
      },
    };
    const telemetry = createLeaseTelemetry(log, metrics);
    const lease = new Lease(
      { holder: makeHolderName() },
      { store: createRedisLeaseStore(place), telemetry, clock: systemClock },
    );
    const checkpointStore = createRedisCheckpointStore({ ...place, lease, clock: systemClock });
    const makeTerm = (): ReturnType<typeof createFirehose> =>
      createFirehose(options, {
        bus,
        spool: createMemorySpool({ maxBytes: 2 ** 30 }),
        checkpointStore,
        lease,
        log,
        metrics,
        clock: systemClock,
      });
    const firehose = createFailover({ lease, makeTerm, telemetry, clock: systemClock });
    t.teardown(() => firehose.stop(AbortSignal.abort()));
    const read = async (name: string): Promise<number> =>
      Number(
        (await metrics.text())
          .split('\n')
          .find((line) => line.startsWith(`${name} `))
          ?.slice(name.length),
      );
    const checkLease = (): string => firehose.healthChecks.find(({ name }) => name === 'lease')?.check().detail ?? '';
    await firehose.start(forever);
    await eventually(() => checkLease().startsWith('leader'));
    simulator.control.resume();
    await eventually(() => published.size >= 50, { timeoutMs: 60_000 });

    await server.kill();
    await eventually(() => checkLease().includes('publishing waits'), { timeoutMs: 30_000 });
    const publishedThen = published.size;
    await eventually(async () => (await read('hydrant_firehose_events_received_total')) === events, {
      timeoutMs: 60_000,
    });
    t.equal(published.size, publishedThen, 'nothing is published without the lease');
    t.ok(publishedThen < events, `${String(publishedThen)} were before`);
    t.equal(await read('hydrant_firehose_leader'), 0);
    t.equal(await read('hydrant_firehose_lease_losses_total{cause="ended"}'), 1);
    t.equal(lines.filter(({ level, msg }) => level === 'warn' && String(msg).startsWith('The lease ended')).length, 1);
    await server.start();
    await eventually(() => published.size === events, { timeoutMs: 60_000 });

    await firehose.stop(forever);
    const stored = await checkpointStore.load(forever);
    t.equal(stored?.index, await read('hydrant_firehose_confirmed_index'), 'the checkpoint came with it');
    t.match(checkLease(), /^standby/u, 'the lease is given back');
    t.ok(lines.some(({ msg }) => msg === 'Got the lease again, publishing what was read meanwhile'));
  },
);
