/**
 * What `doctor` asks of Redis: whether it can be reached, and lets us run scripts with the commands and keys that the
 * service's own scripts have.
 */
import type { Clock } from '../foundation/clock.ts';
import { describeError } from '../foundation/errors.ts';
import { examineComponent, type Examination, type Finding } from '../runtime/doctor.ts';
import type { RedisClient } from './redis-client.ts';

/** A command and what stands behind its key. */
export type KeyCommand = readonly [name: string, ...args: readonly string[]];

/** A key beside those of the service, to which its user has the same rights, and commands that leave nothing there. */
export interface RedisNeed {
  readonly key: string;
  readonly commands: readonly KeyCommand[];
}

/** Takes the key away again, where it may. */
const lua = `
redis.call('TIME')
local failure
for _, command in ipairs(cjson.decode(ARGV[1])) do
  local name = table.remove(command, 1)
  local reply = redis.pcall(name, KEYS[1], unpack(command))
  failure = type(reply) == 'table' and reply.err and { err = reply.err .. ' (' .. name .. ')' }
  if failure then break end
end
redis.pcall('DEL', KEYS[1])
return failure or 1
`;

export function examineRedis(redis: RedisClient, needs: readonly RedisNeed[], clock: Clock): Examination {
  const run = redis.script({ name: 'hydrantDoctor', lua, numberOfKeys: 1 });
  async function tryKey({ key, commands }: RedisNeed): Promise<Finding> {
    const subject = `redis, scripts and the keys ${key.replace(/[^:]*$/u, '*')}`;
    try {
      await run(key, JSON.stringify(commands));
      return { subject, isWell: true, detail: 'allowed' };
    } catch (thrown) {
      const named = [...new Set(commands.map(([name]) => name))].join(', ');
      return {
        subject,
        isWell: false,
        detail: `${describeError(thrown)}; does the user have the commands EVAL, EVALSHA, TIME, ${named}, and these keys under REDIS_KEY_PREFIX, and is it the primary?`,
      };
    }
  }
  return examineComponent('redis', redis, [redis.healthCheck], {
    advice: 'is Redis running, and do address, user, password and database in REDIS_URL fit?',
    clock,
    also: () => Promise.all(needs.map(tryKey)),
  });
}
