/** The RabbitMQ and the Redis that the three services are connected to: one of each, unless a test brings others. */
import { startPrivateRabbitMq } from '@hydrant/testing/private-rabbitmq';
import { startPrivateRedis } from '@hydrant/testing/private-redis';
import { withLevers, type ServerLevers } from '@hydrant/testing/server-levers';
import type { Route, Server } from './shape.ts';

interface Backend {
  readonly servers: readonly Server[];
  /** Past any route. */
  readonly url: string;
  close(): Promise<void>;
}

export interface Broker extends Backend {
  /** The settings by which a service finds it; called for each service. */
  settings(): Readonly<Record<string, string>>;
  /** Runs rabbitmqctl and gives its output. */
  ctl(...args: readonly string[]): Promise<string>;
}

export interface StateStore extends Backend {
  /** By which services find it. */
  readonly settings: Readonly<Record<string, string>>;
}

export interface Backends {
  readonly broker: Broker;
  readonly stateStore: StateStore;
}

function directly(_: string, port: number): Promise<number> {
  return Promise.resolve(port);
}

export function makeServer(name: string, levers: ServerLevers): Server {
  return withLevers<Pick<Server, 'name' | 'restart'>>(levers, {
    name,
    async restart() {
      await levers.kill();
      await levers.start();
    },
  });
}

export async function startOneRabbitMq(route: Route = directly): Promise<Broker> {
  const broker = await startPrivateRabbitMq({ exclusive: true });
  const settings = { AMQP_CONNECTION: broker.urlAt(await route('RabbitMQ', broker.port)) };
  return {
    servers: [makeServer('RabbitMQ', broker)],
    url: broker.url,
    settings: () => settings,
    ctl: broker.ctl,
    close: () => broker.close(),
  };
}

export async function startOneRedis(route: Route = directly): Promise<StateStore> {
  const redis = await startPrivateRedis();
  return {
    servers: [makeServer('Redis', redis)],
    url: redis.url,
    settings: { REDIS_URL: redis.urlAt(await route('Redis', redis.port)) },
    close: () => redis.close(),
  };
}
