/**
 * What the store of the detector's state does in Redis, for `doctor` to try: redis-needs.test.ts compares it with the
 * store.
 */
import type { KeyCommand, RedisNeed } from '@hydrant/shared/redis/examine-redis';

const commands: readonly KeyCommand[] = [
  ['EXISTS'],
  ['SET', 'x', 'NX'],
  ['GET'],
  ['MGET'],
  ['GETRANGE', '0', '0'],
  ['DEL'],
  ['ZADD', '1', 'm'],
  ['ZCARD'],
  ['ZRANGE', '0', '0'],
  ['ZRANGEBYSCORE', '0', '1', 'LIMIT', '0', '1'],
  ['ZREM', 'x'],
];

export const detectorRedisNeeds: readonly RedisNeed[] = [{ key: '{detector}:doctor', commands }];
