/**
 * The ledger that any number of detectors share. One script records and decides in one step; this file only translates.
 * Calls are not waited for one by one, so many travel together.
 */
import { HydrantError } from '@hydrant/shared/foundation/errors';
import { loadLua } from '@hydrant/shared/redis/lua';
import type { RedisClient } from '@hydrant/shared/redis/redis-client';
import { crashCap, retentionMs, type Claim, type Decision, type Ledger, type Observation, type Recorded, type Rule } from './ledger.ts';

/** Under the client's own prefix. */
const keyPrefix = 'detector:';

export function createRedisLedger(redis: RedisClient): Ledger {
  const recordCrashes = redis.script({ name: 'recordCrashes', lua: loadLua(new URL('../../lua/record-crashes-1.lua', import.meta.url)), numberOfKeys: 1 });
  const confirmClaim = redis.script({ name: 'confirmClaim', lua: loadLua(new URL('../../lua/confirm-claim-1.lua', import.meta.url)), numberOfKeys: 1 });

  return {
    async record(observation: Observation, rule: Rule): Promise<Decision> {
      const reply = await recordCrashes(
        keyPrefix, JSON.stringify(observation), rule.count, rule.intervalMs * 1000, rule.notificationIntervalMs * 1000,
        Math.ceil(retentionMs(rule) / 1000), crashCap(rule),
      );
      return readDecision(reply, observation);
    },
    async confirm({ loop, eventId, announcedAtUs }: Claim): Promise<void> {
      await confirmClaim(keyPrefix, loop, eventId, announcedAtUs);
    },
  };
}

function readDecision(reply: unknown, { eventId }: Observation): Decision {
  if (!Array.isArray(reply)) throw unexpected(reply);
  const [action, restarts, hidden, failures, requested, loop, openedAtUs, announcedAtUs, lastEvent, ...crashes] = reply.map(String);
  const recorded: Recorded = { restarts: Number(restarts), hidden: Number(hidden), failures: Number(failures), requested: Number(requested) };
  if (action === 'none' || action === 'late') return { action, recorded };
  if ((action !== 'opened' && action !== 'ongoing') || loop === undefined || lastEvent === undefined) throw unexpected(reply);
  const claim: Claim = { loop, eventId, openedAtUs: Number(openedAtUs), announcedAtUs: Number(announcedAtUs) };
  return { action: 'announce', status: action, recorded, claim, count: crashes.length, crashes, lastEvent };
}

function unexpected(reply: unknown): HydrantError {
  return new HydrantError(`Expected a decision from the script record-crashes-1.lua, got ${JSON.stringify(reply)}`, { code: 'ledger-broken', retryable: true });
}
