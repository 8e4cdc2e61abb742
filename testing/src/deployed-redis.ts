/** Redis with a user as deploy/nomad gives him to a service: for tests of what he may do. */
import { readFile } from 'node:fs/promises';
import type { PrivateRedis } from './private-redis.ts';

const job = new URL('../../deploy/nomad/redis.nomad.hcl', import.meta.url);
const password = 'of-the-test';

/** The words that make the user, as `ACL SETUSER` takes them, and his address. */
export async function readDeployedUser(
  redis: Pick<PrivateRedis, 'port'>,
  user: string,
): Promise<{ readonly rules: readonly string[]; readonly url: string }> {
  const text = await readFile(job, 'utf8');
  const rules = new RegExp(`^ *user ${user} on #\\{\\{[^}]*\\}\\} (.+)$`, 'mu').exec(text)?.[1];
  if (rules === undefined) throw new Error(`Expected redis.nomad.hcl to have the user ${user}`);
  return {
    rules: ['reset', 'on', `>${password}`, ...rules.split(' ')],
    url: `redis://${user}:${password}@127.0.0.1:${String(redis.port)}/0`,
  };
}
