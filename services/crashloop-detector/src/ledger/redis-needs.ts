/** What the ledger's scripts do in Redis, for `doctor` to try: redis-needs.test.ts compares it with the scripts. */
import type { KeyCommand, RedisNeed } from '@hydrant/shared/redis/examine-redis';

const commands: readonly KeyCommand[] = [
  ['EXISTS'], ['HSETNX', 'f', '1'], ['HSET', 'f', '1'], ['HGET', 'f'], ['HMGET', 'f'], ['HGETALL'], ['EXPIRE', '1'], ['HDEL', 'f'], ['DEL'],
  ['ZADD', '1', 'm'], ['ZCARD'], ['ZRANGE', '0', '0'], ['ZREVRANGE', '0', '0'], ['ZRANGEBYSCORE', '0', '1'], ['ZREM', 'x'], ['ZREMRANGEBYSCORE', '0', '0'], ['ZPOPMIN'],
];

export const detectorRedisNeeds: readonly RedisNeed[] = [{ key: 'detector:doctor', commands }];
