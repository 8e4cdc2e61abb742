/** What the firehose's scripts do in Redis, for `doctor` to try: redis-needs.test.ts compares it with the scripts. */
import type { KeyCommand, RedisNeed } from '@hydrant/shared/redis/examine-redis';

const checkpointCommands: readonly KeyCommand[] = [['TYPE'], ['HSET', 'index', '0'], ['HMGET', 'index']];
const leaseCommands: readonly KeyCommand[] = [
  ['TYPE'],
  ['HSET', 'holder', 'doctor'],
  ['HGET', 'holder'],
  ['HMGET', 'holder'],
  ['PEXPIRE', '1000'],
  ['DEL'],
];

/** No cluster is of that name: a checkpoint's key has a region, too. */
export function firehoseRedisNeeds({ withLease }: { readonly withLease: boolean }): readonly RedisNeed[] {
  return [
    { key: 'checkpoint:doctor', commands: checkpointCommands },
    ...(withLease ? [{ key: 'lease:doctor', commands: leaseCommands }] : []),
  ];
}
