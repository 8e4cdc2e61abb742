/** Keeps the checkpoint in a Redis hash, guarded by a fencing token so that of two processes only the one that came last moves it. */
import type { Clock } from '@hydrant/shared/foundation/clock';
import { HydrantError } from '@hydrant/shared/foundation/errors';
import { loadLua } from '@hydrant/shared/redis/lua';
import type { RedisClient } from '@hydrant/shared/redis/redis-client';
import { parseStoredIndex, type CheckpointStore } from './checkpoint-store.ts';

export interface RedisCheckpointOptions {
  readonly redis: Pick<RedisClient, 'script'>;
  /** That of `redis`, for what people are told. */
  readonly keyPrefix: string;
  readonly cluster: string;
  /** As `regionName` gives it. */
  readonly region: string;
  readonly clock: Clock;
}

function readReply(reply: unknown): (string | null)[] {
  if (!Array.isArray(reply)) throw new HydrantError(`Expected Redis to answer a list, got ${typeof reply}`, { code: 'redis-refused', retryable: true });
  return reply.map((field) => (typeof field === 'string' ? field : null));
}

export function createRedisCheckpointStore({ redis, keyPrefix, cluster, region, clock }: RedisCheckpointOptions): CheckpointStore {
  const key = `checkpoint:${cluster}:${region}`;
  const fullKey = `${keyPrefix}${key}`;
  const wayOut = `set it right with "HSET ${fullKey} index <number>", or remove it with "DEL ${fullKey}" to begin as FIREHOSE_START says`;
  const loadScript = redis.script({ name: 'loadCheckpoint', lua: loadLua(new URL('../../lua/load-checkpoint-1.lua', import.meta.url)), numberOfKeys: 1 });
  const saveScript = redis.script({ name: 'saveCheckpoint', lua: loadLua(new URL('../../lua/save-checkpoint-1.lua', import.meta.url)), numberOfKeys: 1 });
  let token: string | null = null;

  return {
    description: `the Redis key ${fullKey}`,
    async load() {
      const [newToken = null, index = null, filter = null, source = null] = readReply(await loadScript(key));
      const checkpoint = index === null ? undefined : { index: parseStoredIndex(index, `the Redis key ${fullKey}`, wayOut), filter: filter ?? '', source: source ?? '' };
      token = newToken;
      return checkpoint;
    },
    async save({ index, filter, source }) {
      if (token === null) throw new Error('Expected the checkpoint to be loaded before it is saved');
      const outcome = await saveScript(key, token, index, new Date(clock.now()).toISOString(), filter, source);
      if (outcome === 'saved') return;
      if (outcome === 'invalid') {
        throw new HydrantError(`Expected the checkpoint in the Redis key ${fullKey} to be a whole number, got something else; ${wayOut}`, { code: 'checkpoint-invalid', retryable: true });
      }
      throw new HydrantError(`Expected to be the only firehose that stores the checkpoint in the Redis key ${fullKey}, another one took over`, {
        code: 'checkpoint-taken-over',
        retryable: false,
      });
    },
  };
}
