/** Keeps the lease in a Redis hash that expires, next to the checkpoint that its token guards. */
import { HydrantError } from '@hydrant/shared/foundation/errors';
import { loadLua } from '@hydrant/shared/redis/lua';
import type { RedisClient } from '@hydrant/shared/redis/redis-client';
import { checkpointKey } from '../checkpoint/redis-checkpoint-store.ts';
import { identityKey } from '../message/id-prefix.ts';
import type { LeaseReply, LeaseStore } from './lease-store.ts';

export interface RedisLeaseOptions {
  readonly redis: Pick<RedisClient, 'script'>;
  /** That of `redis`, for what people are told. */
  readonly keyPrefix: string;
  readonly cluster: string;
  readonly region: string;
}

function readReply(reply: unknown): LeaseReply {
  const [outcome, text] = Array.isArray(reply) ? (reply as readonly unknown[]) : [];
  if (outcome === 'granted' && typeof text === 'string') return { outcome, token: text };
  if (outcome === 'held' && typeof text === 'string') return { outcome, by: text };
  throw new HydrantError(`Expected Redis to say whose the lease is, got ${JSON.stringify(reply)}`, {
    code: 'redis-refused',
    retryable: true,
  });
}

export function createRedisLeaseStore({ redis, keyPrefix, cluster, region }: RedisLeaseOptions): LeaseStore {
  const key = `lease:${identityKey({ cluster, region })}`;
  const takeScript = redis.script({
    name: 'takeLease',
    lua: loadLua(new URL('../../lua/take-lease-2.lua', import.meta.url)),
    numberOfKeys: 2,
  });
  const releaseScript = redis.script({
    name: 'releaseLease',
    lua: loadLua(new URL('../../lua/release-lease-1.lua', import.meta.url)),
    numberOfKeys: 1,
  });
  return {
    description: `the Redis key ${keyPrefix}${key}`,
    take: async (holder, lastsMs) =>
      readReply(await takeScript(key, checkpointKey({ cluster, region }), holder, lastsMs)),
    async release(holder) {
      await releaseScript(key, holder);
    },
  };
}
