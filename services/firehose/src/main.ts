#!/usr/bin/env node
/** The firehose as a process: names the adapters (RabbitMQ, Redis, a spool in memory) and runs. */
import { createAmqpBus } from '@hydrant/shared/bus/amqp/amqp-bus';
import { createRedisClient } from '@hydrant/shared/redis/redis-client';
import { amqpSettings, commonSettings, redisSettings } from '@hydrant/shared/runtime/config/common-settings';
import type { Schema } from '@hydrant/shared/runtime/config/setting';
import { runService } from '@hydrant/shared/runtime/run-service';
import { version } from '@hydrant/shared/runtime/version';
import { createMemorySpool } from '@hydrant/shared/spool/memory-spool';
import { createRedisCheckpointStore } from './checkpoint/redis-checkpoint-store.ts';
import { checkNomadSettings, nomadSettings, readFirehoseOptions, streamSettings } from './config.ts';
import { createFirehose, regionName } from './firehose.ts';

const name = 'hydrant-firehose';
/** About eleven thousand events: what a broker that restarts may miss before the stream has to wait. */
const memorySpoolBytes = 64 * 1024 * 1024;
const schema = {
  ...nomadSettings,
  ...streamSettings,
  ...amqpSettings,
  ...redisSettings,
  ...commonSettings({ httpPort: 9401 }),
} as const satisfies Schema;

await runService({
  name,
  version,
  schema,
  input: () => ({ check: checkNomadSettings }),
  create(config, { log, metrics, clock }) {
    const { AMQP_CONNECTION: urls, AMQP_EXCHANGE: exchange, REDIS_KEY_PREFIX: keyPrefix } = config;
    const options = readFirehoseOptions(config);
    const redis = createRedisClient({ url: config.REDIS_URL, keyPrefix, log });
    const bus = createAmqpBus({ urls, exchange, connectionName: name, log, clock });
    const spool = createMemorySpool({ maxBytes: memorySpoolBytes });
    const checkpointStore = createRedisCheckpointStore({ redis, keyPrefix, cluster: options.cluster, region: regionName(options.region), clock });
    const firehose = createFirehose(options, { bus, spool, checkpointStore, log, metrics, clock });
    return {
      components: [redis, bus, firehose],
      healthChecks: [...firehose.healthChecks, ...bus.healthChecks, redis.healthCheck],
    };
  },
});
