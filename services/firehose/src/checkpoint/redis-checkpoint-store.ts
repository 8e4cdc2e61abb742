/**
 * Keeps the checkpoint in a Redis hash, guarded by a fencing token so that of two processes only the one that came last
 * moves it.
 */
import type { Clock } from '@hydrant/shared/foundation/clock';
import { HydrantError } from '@hydrant/shared/foundation/errors';
import { loadLua } from '@hydrant/shared/redis/lua';
import type { RedisClient } from '@hydrant/shared/redis/redis-client';
import type { HeldLease } from '../lease/lease.ts';
import { identityKey, type StreamIdentity } from '../message/id-prefix.ts';
import { parseNotes, parseStoredIndex, type CheckpointStore } from './checkpoint-store.ts';

export interface RedisCheckpointOptions {
  readonly redis: Pick<RedisClient, 'script'>;
  /** That of `redis`, for what people are told. */
  readonly keyPrefix: string;
  readonly cluster: string;
  readonly region: string;
  /** Its token guards the checkpoint. Undefined: each `load` makes one. */
  readonly lease?: Pick<HeldLease, 'token'> | undefined;
  readonly clock: Clock;
}

function readReply(reply: unknown): (string | null)[] {
  if (!Array.isArray(reply))
    throw new HydrantError(`Expected Redis to answer a list, got ${typeof reply}`, {
      code: 'redis-refused',
      retryable: true,
    });
  return reply.map((field) => (typeof field === 'string' ? field : null));
}

/** It may be held again, with a higher token. */
function leaseNotHeld(fullKey: string): HydrantError {
  return new HydrantError(
    `Expected to hold the lease that guards the checkpoint in the Redis key ${fullKey}, it has ended`,
    { code: 'lease-not-held', retryable: true },
  );
}

/** Without the prefix. */
export function checkpointKey(identity: StreamIdentity): string {
  return `checkpoint:${identityKey(identity)}`;
}

export function createRedisCheckpointStore({
  redis,
  keyPrefix,
  cluster,
  region,
  lease,
  clock,
}: RedisCheckpointOptions): CheckpointStore {
  const key = checkpointKey({ cluster, region });
  const fullKey = `${keyPrefix}${key}`;
  const wayOut = `set it right with "HSET ${fullKey} index <number>", or remove it with "DEL ${fullKey}" to begin as FIREHOSE_START says`;
  const loadScript = redis.script({
    name: 'loadCheckpoint',
    lua: loadLua(new URL('../../lua/load-checkpoint-1.lua', import.meta.url)),
    numberOfKeys: 1,
  });
  const saveScript = redis.script({
    name: 'saveCheckpoint',
    lua: loadLua(new URL('../../lua/save-checkpoint-1.lua', import.meta.url)),
    numberOfKeys: 1,
  });
  let token: string | null = null;

  return {
    description: `the Redis key ${fullKey}`,
    async load() {
      const [newToken = null, index = null, filter, source, namespacesAt, epoch, topicIndexes] = readReply(
        await loadScript(key),
      );
      const checked = index === null ? undefined : parseStoredIndex(index, `the Redis key ${fullKey}`, wayOut);
      token = newToken;
      return checked === undefined
        ? undefined
        : { index: checked, ...parseNotes({ filter, source, namespacesAt, epoch, topicIndexes }) };
    },
    async save({ index, filter, source, namespacesAt = '', epoch = 0, topicIndexes = {} }) {
      const guard = lease === undefined ? token : (lease.token ?? null);
      if (guard === null)
        throw lease === undefined
          ? new Error('Expected the checkpoint to be loaded before it is saved')
          : leaseNotHeld(fullKey);
      const outcome = await saveScript(
        key,
        guard,
        index,
        new Date(clock.now()).toISOString(),
        filter,
        source,
        namespacesAt,
        epoch,
        JSON.stringify(topicIndexes),
      );
      if (outcome === 'saved') return;
      if (outcome === 'invalid') {
        throw new HydrantError(
          `Expected the checkpoint in the Redis key ${fullKey} to be a whole number, got something else; ${wayOut}`,
          { code: 'checkpoint-invalid', retryable: true },
        );
      }
      if (lease !== undefined && lease.token !== guard) throw leaseNotHeld(fullKey);
      throw new HydrantError(
        `Expected to be the only firehose that stores the checkpoint in the Redis key ${fullKey}, another one took over`,
        {
          code: 'checkpoint-taken-over',
          retryable: false,
        },
      );
    },
  };
}
