/** The checkpoint of the firehose as Redis has it. */
import { createRedisClient } from '@hydrant/shared/redis/redis-client';
import { testLog } from '@hydrant/testing/test-log';

export type ReadCheckpoint = () => Promise<Readonly<Record<string, string>>>;

const forever = new AbortController().signal;

/** Gives the hash field by field; empty when there is none. */
export async function openCheckpoint(
  t: { teardown(action: () => Promise<void>): void },
  redisUrl: string,
): Promise<ReadCheckpoint> {
  const redis = createRedisClient({ url: redisUrl, keyPrefix: '', log: testLog() });
  t.teardown(() => redis.stop(forever));
  await redis.start(forever);
  const readAll = redis.script({ name: 'readAll', lua: "return redis.call('HGETALL', KEYS[1])", numberOfKeys: 1 });
  return async () => {
    const flat = (await readAll('hydrant:checkpoint:default:default')) as string[];
    return Object.fromEntries(
      flat.flatMap((name, position) => (position % 2 === 0 ? [[name, flat[position + 1] ?? '']] : [])),
    );
  };
}
