/** What `doctor` asks of Redis: whether it can be reached, and lets us run a script that writes. */
import type { Clock } from '../foundation/clock.ts';
import { describeError } from '../foundation/errors.ts';
import { examineComponent, type Examination, type Finding } from '../runtime/doctor.ts';
import type { RedisClient } from './redis-client.ts';

/** Under the prefix like every other key, and gone in a second. */
const lua = "redis.call('SET', KEYS[1], '1', 'PX', 1000) return 1";

export function examineRedis(redis: RedisClient, clock: Clock): Examination {
  const write = redis.script({ name: 'hydrantDoctor', lua, numberOfKeys: 1 });
  async function tryToWrite(): Promise<readonly Finding[]> {
    const subject = 'redis, scripts and writing';
    try {
      await write('doctor');
      return [{ subject, isWell: true, detail: 'allowed' }];
    } catch (thrown) {
      return [{ subject, isWell: false, detail: `${describeError(thrown)}; does the user have the commands EVAL, EVALSHA and the keys under REDIS_KEY_PREFIX, and is it the primary?` }];
    }
  }
  return examineComponent('redis', redis, [redis.healthCheck], {
    advice: 'is Redis running, and do address, user, password and database in REDIS_URL fit?',
    clock,
    also: tryToWrite,
  });
}
