/**
 * RabbitMQ as a cluster of three nodes, and Redis as a master with two replicas and three Sentinels, set up as
 * docs/scaling.md says.
 */
import { startPrivateRabbitMqCluster, type ClusterNode } from '@hydrant/testing/private-rabbitmq';
import { startPrivateRedis, type PrivateRedis } from '@hydrant/testing/private-redis';
import { startPrivateSentinel } from '@hydrant/testing/private-sentinel';
import { makeServer, type Broker, type StateStore } from './backends.ts';

const size = 3;
const masterName = 'hydrant';

export interface RabbitMqCluster extends Broker {
  readonly nodes: readonly ClusterNode[];
}

export async function startRabbitMqCluster(): Promise<RabbitMqCluster> {
  const { nodes, close } = await startPrivateRabbitMqCluster(size);
  const [first] = nodes;
  if (first === undefined) throw new Error('Expected a cluster to have nodes');
  let services = 0;
  return {
    nodes,
    servers: nodes.map((node, position) => makeServer(`RabbitMQ ${String(position + 1)}`, node)),
    url: first.url,
    // Each service begins at another node.
    settings() {
      services += 1;
      return { AMQP_CONNECTION: nodes.map((_, position) => nodes[(position + services) % size]?.url).join() };
    },
    ctl: first.ctl,
    close,
  };
}

export interface RedisWithSentinels extends StateStore {
  /** The master at first. */
  readonly master: PrivateRedis;
  readonly replicas: readonly PrivateRedis[];
}

export async function startRedisWithSentinels(): Promise<RedisWithSentinels> {
  const undoing: (() => unknown)[] = [];
  const args = ['--min-replicas-to-write', '1'];
  const master = await startPrivateRedis({ args });
  const replicas: PrivateRedis[] = [];
  while (replicas.length < size - 1)
    replicas.push(await startPrivateRedis({ args: [...args, '--replicaof', '127.0.0.1', String(master.port)] }));
  const sentinels: string[] = [];
  const undo = { teardown: (action: () => unknown) => undoing.push(action) };
  while (sentinels.length < size)
    sentinels.push((await startPrivateSentinel(undo, { masterPort: master.port, masterName, quorum: 2 })).address);
  const instances = [master, ...replicas];
  return {
    master,
    replicas,
    servers: instances.map((redis, position) => makeServer(`Redis ${String(position + 1)}`, redis)),
    url: master.url,
    // The host of the address is never asked: the Sentinels say where the master is.
    settings: {
      REDIS_URL: 'redis://ignored:6379/0',
      REDIS_SENTINELS: sentinels.join(),
      REDIS_SENTINEL_MASTER: masterName,
    },
    async close() {
      for (const action of undoing) await action();
      await Promise.all(instances.map((redis) => redis.close()));
    },
  };
}
