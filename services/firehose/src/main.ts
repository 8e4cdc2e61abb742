#!/usr/bin/env -S node --max-semi-space-size=4
/** The firehose as a process: names the adapters (RabbitMQ, Redis, a spool in memory or in a folder) and runs. */
import { join } from 'node:path';
import { amqpAddressProblems } from '@hydrant/shared/bus/amqp/amqp-address';
import { createAmqpBus } from '@hydrant/shared/bus/amqp/amqp-bus';
import { examineBus } from '@hydrant/shared/bus/examine-bus';
import { examineRedis } from '@hydrant/shared/redis/examine-redis';
import { createRedisClient, readRedisOptions } from '@hydrant/shared/redis/redis-client';
import {
  amqpSettings,
  commonSettings,
  connectionProblems,
  redisSettings,
} from '@hydrant/shared/runtime/config/common-settings';
import type { Schema, Values } from '@hydrant/shared/runtime/config/setting';
import { doctorCommand } from '@hydrant/shared/runtime/doctor';
import { runService, type ServiceContext } from '@hydrant/shared/runtime/run-service';
import { readTlsOptions } from '@hydrant/shared/runtime/tls/tls-settings';
import { version } from '@hydrant/shared/runtime/version';
import { createFolderSpool } from '@hydrant/shared/spool/folder-spool';
import { createMemorySpool } from '@hydrant/shared/spool/memory-spool';
import { firehoseRedisNeeds } from './checkpoint/redis-needs.ts';
import { createRedisCheckpointStore } from './checkpoint/redis-checkpoint-store.ts';
import {
  checkNomadSettings,
  leaseSettings,
  nomadSettings,
  readFirehoseOptions,
  spoolFolderSettings,
  spoolSettings,
  streamSettings,
} from './config.ts';
import { createFirehose, type Firehose, type FirehosePorts } from './firehose.ts';
import { createFailover } from './lease/failover.ts';
import { Lease, type HeldLease } from './lease/lease.ts';
import { createLeaseTelemetry } from './lease/lease-telemetry.ts';
import { makeHolderName } from './lease/holder-name.ts';
import { createRedisLeaseStore } from './lease/redis-lease-store.ts';
import { regionName } from './message/id-prefix.ts';
import { createFileSpoolNote } from './spool/file-spool-note.ts';
import { examineNomad } from './source/examine-nomad.ts';

const name = 'hydrant-firehose';
/**
 * About two thousand events: a hiccup of the broker. Above it Nomad waits; what its buffer loses meanwhile is healed
 * from the lists.
 */
const memorySpoolBytes = 12 * 1024 * 1024;
const schema = {
  ...nomadSettings,
  ...streamSettings,
  ...leaseSettings,
  ...spoolFolderSettings,
  ...spoolSettings,
  ...amqpSettings,
  ...redisSettings,
  ...commonSettings({ httpPort: 9401 }),
} as const satisfies Schema;

const doctor = doctorCommand<typeof schema>((config, { log, clock }) => {
  const { AMQP_CONNECTION: urls, AMQP_EXCHANGE: exchange } = config;
  const queues = (config.FIREHOSE_WAIT_FOR_QUEUES ?? []).map((queue) => ({ name: queue, isOwn: false }));
  return [
    ...examineNomad(readFirehoseOptions(config), clock),
    examineBus(
      createAmqpBus({
        urls,
        tls: readTlsOptions(config, 'AMQP'),
        exchange,
        connectionName: `${name} doctor`,
        log,
        clock,
      }),
      { subject: 'rabbitmq', exchange, queues, clock },
    ),
    examineRedis(
      createRedisClient({ ...readRedisOptions(config), log }),
      firehoseRedisNeeds({ withLease: config.FIREHOSE_HA }),
      clock,
    ),
  ];
});

/** In memory, or in FIREHOSE_SPOOL_DIR with a note of what lies there. */
function makeSpool(
  config: Values<typeof schema>,
  { log, clock }: Pick<ServiceContext, 'log' | 'clock'>,
): Pick<FirehosePorts, 'spool' | 'spoolNote'> {
  const { FIREHOSE_SPOOL_DIR: dir, FIREHOSE_SPOOL_MAX_BYTES: maxBytes } = config;
  if (dir === null) return { spool: createMemorySpool({ maxBytes: memorySpoolBytes }) };
  const { cluster, region } = readFirehoseOptions(config);
  const owner = `the firehose's, of cluster "${cluster}" and region "${regionName(region)}"`;
  return {
    spool: createFolderSpool({ dir, owner, maxBytes, log, clock }),
    spoolNote: createFileSpoolNote({ path: join(dir, 'firehose.json') }),
  };
}

await runService({
  name,
  version,
  schema,
  input: () => ({
    check: (values) => [
      ...checkNomadSettings(values),
      ...connectionProblems(values),
      ...amqpAddressProblems(values, 'AMQP'),
    ],
  }),
  create(config, { log, metrics, clock }) {
    const { AMQP_CONNECTION: urls, AMQP_EXCHANGE: exchange, REDIS_KEY_PREFIX: keyPrefix } = config;
    const options = readFirehoseOptions(config);
    const redis = createRedisClient({ ...readRedisOptions(config), log });
    const bus = createAmqpBus({
      urls,
      tls: readTlsOptions(config, 'AMQP'),
      exchange,
      connectionName: name,
      log,
      clock,
    });
    const place = { redis, keyPrefix, cluster: options.cluster, region: options.region };
    function makeFirehose(lease?: HeldLease): Firehose {
      const { spool, spoolNote } = makeSpool(config, { log, clock });
      const checkpointStore = createRedisCheckpointStore({ ...place, lease, clock });
      return createFirehose(options, { bus, spool, spoolNote, checkpointStore, lease, log, metrics, clock });
    }
    function makeFailover(): Firehose {
      const telemetry = createLeaseTelemetry(log, metrics);
      const lease = new Lease({ holder: makeHolderName() }, { store: createRedisLeaseStore(place), telemetry, clock });
      return createFailover({ lease, makeTerm: () => makeFirehose(lease), telemetry, clock });
    }
    const firehose = config.FIREHOSE_HA ? makeFailover() : makeFirehose();
    return {
      components: [redis, bus, firehose],
      healthChecks: [...firehose.healthChecks, ...bus.healthChecks, redis.healthCheck],
    };
  },
  commands: [doctor],
});
