/**
 * The ledger that any number of detectors share. The scripts decide; this file only translates, and sends together what arrives together.
 */
import { HydrantError } from '@hydrant/shared/foundation/errors';
import { loadLua } from '@hydrant/shared/redis/lua';
import type { RedisClient, Script } from '@hydrant/shared/redis/redis-client';
import { makeAlertId } from './alert-id.ts';
import { Batches } from './send-together.ts';
import {
  crashCap, defaultMaxLineages, mostOpenLoops, resolvedLeaseMs, retentionMs,
  type Claim, type Decision, type Ledger, type Observation, type OpenLoop, type Place, type Recorded, type ResolvedClaim, type Rule,
} from './ledger.ts';

export interface RedisLedgerOptions {
  /** Default 100,000. */
  readonly maxLineages?: number;
}

interface Request {
  readonly observation: Observation;
  readonly rule: Rule;
}

/** Under the client's own prefix. */
const keyPrefix = 'detector:';

/** Redis serves nobody else while a script runs: this many observations take it about a millisecond. */
const mostTogether = 100;
/** One batch on the way while the other is worked on. */
const batchesUnderWay = 2;

export function createRedisLedger(redis: RedisClient, { maxLineages = defaultMaxLineages }: RedisLedgerOptions = {}): Ledger {
  const read = (file: string): string => loadLua(new URL(`../../lua/${file}`, import.meta.url));
  const script = (name: string, ...files: readonly string[]): Script => redis.script({ name, lua: ['ledger.lua', ...files].map(read).join('\n'), numberOfKeys: 1 });
  const recordCrashes = script('recordCrashes', 'number-restarts.lua', 'record-crashes-1.lua');
  const confirmClaim = script('confirmClaim', 'confirm-claim-1.lua');
  const takeResolved = script('takeResolved', 'take-resolved-1.lua');
  const confirmResolved = script('confirmResolved', 'confirm-resolved-1.lua');
  const openLoops = script('openLoops', 'open-loops-1.lua');
  const ledgerSize = script('ledgerSize', 'ledger-size-1.lua');

  const records = new Batches<Request, unknown>({
    mostTogether,
    mostUnderWay: batchesUnderWay,
    async send(requests) {
      const { observations, rules, texts } = writeRequests(requests);
      return readList(await recordCrashes(keyPrefix, JSON.stringify(observations), JSON.stringify(rules), maxLineages, ...texts));
    },
  });

  return {
    async record(observation, rule): Promise<Decision> {
      return readDecision(await records.add({ observation, rule }), observation);
    },
    async confirm({ group, allocation, eventId, announcedAtUs }: Claim): Promise<void> {
      await confirmClaim(keyPrefix, group, allocation ?? '', eventId, announcedAtUs);
    },
    async takeResolved(limit): Promise<readonly ResolvedClaim[]> {
      return readList(await takeResolved(keyPrefix, limit, resolvedLeaseMs * 1000)).map((json) => readLoop(String(json)));
    },
    async confirmResolved({ token }): Promise<void> {
      await confirmResolved(keyPrefix, token);
    },
    async openLoops(): Promise<readonly OpenLoop[]> {
      const loops = readList(await openLoops(keyPrefix, mostOpenLoops)).map((json) => withoutToken(readLoop(String(json))));
      return loops.sort((a, b) => a.openedAtUs - b.openedAtUs || (a.loop < b.loop ? -1 : 1));
    },
    async size() {
      const [lineages, open] = readList(await ledgerSize(keyPrefix));
      return { lineages: Number(lineages), openLoops: Number(open) };
    },
  };
}

/** As record-crashes-1.lua reads them. */
function writeRequests(requests: readonly Request[]): { readonly observations: readonly unknown[]; readonly rules: readonly unknown[]; readonly texts: readonly string[] } {
  const rules: Rule[] = [];
  const texts: string[] = [];
  const observations = requests.map(({ observation, rule }) => {
    const { eventId, group, followLineage, allocation, task, place, modifiedAtUs, links, restarts, timed, failure, lastEvent } = observation;
    if (!rules.includes(rule)) rules.push(rule);
    texts.push(lastEvent === null ? '' : writeShown(rule, place, lastEvent));
    for (const { detail } of restarts) texts.push(detail);
    for (const { detail } of timed) texts.push(detail);
    if (failure !== null) texts.push(failure.detail);
    return [
      eventId, group, followLineage, allocation, task, modifiedAtUs, rules.indexOf(rule) + 1,
      links.length === 0 ? 0 : links.flatMap(({ child, parent }) => [child, parent]),
      restarts.length === 0 ? 0 : restarts.flatMap(({ number, kind, timeUs }) => [number, kind === 'crash' ? 1 : 0, String(timeUs)]),
      timed.length === 0 ? 0 : timed.flatMap(({ at, isFailure, timeUs }) => [BigInt(at).toString(36), isFailure ? 1 : 0, String(timeUs)]),
      failure === null ? 0 : String(failure.timeUs),
    ];
  });
  return { observations, rules: rules.map(writeRule), texts };
}

/** How a loop is shown, as one text: neither a number nor JSON on one line holds a line feed. */
function writeShown({ intervalMs }: Rule, place: Place, lastEvent: string): string {
  return `${intervalMs}\n${JSON.stringify(place)}\n${lastEvent}`;
}

function readShown(shown: string): { readonly intervalMs: number; readonly place: Place; readonly lastEvent: string } {
  const [first, second] = [shown.indexOf('\n'), shown.indexOf('\n', shown.indexOf('\n') + 1)];
  return { intervalMs: Number(shown.slice(0, first)), place: JSON.parse(shown.slice(first + 1, second)) as Place, lastEvent: shown.slice(second + 1) };
}

function writeRule(rule: Rule): readonly number[] {
  return [rule.count, rule.intervalMs * 1000, rule.notificationIntervalMs * 1000, Math.ceil(retentionMs(rule) / 1000), crashCap(rule)];
}

function readDecision(reply: unknown, { eventId, group, followLineage, allocation }: Observation): Decision {
  const [outcome = '', opening, announcedAtUs, shown, ...crashes] = typeof reply === 'string' ? [reply] : readList(reply).map(String);
  if (outcome === 'error') throw new HydrantError('Expected Redis to record an event, it refused', { code: 'redis-refused', retryable: true, cause: new Error(opening) });
  const [action, restarts, hidden, failures, requested, forgotten] = outcome.split(' ');
  const recorded: Recorded = {
    restarts: Number(restarts), hidden: Number(hidden), failures: Number(failures), requested: Number(requested), forgotten: Number(forgotten),
  };
  if (action === 'none' || action === 'late') return { action, recorded };
  if ((action !== 'opened' && action !== 'ongoing') || opening === undefined || shown === undefined) throw unexpected(reply);
  const { atUs: openedAtUs, alertId } = readOpening(opening);
  const claim: Claim = { alertId, group, allocation: followLineage ? allocation : null, eventId, openedAtUs, announcedAtUs: Number(announcedAtUs) };
  return { action: 'announce', status: action, recorded, claim, count: crashes.length, crashes, lastEvent: readShown(shown).lastEvent };
}

/** As `describe_loop` in ledger.lua writes it: all values are texts, because Lua's numbers lose digits. */
interface WrittenLoop {
  readonly opening: string;
  readonly loop: string;
  readonly newest: string;
  readonly shown: string;
  /** Lua writes an empty list as an empty object. */
  readonly crashes: readonly string[] | Readonly<Record<string, never>>;
}

function readLoop(json: string): ResolvedClaim {
  const { opening, loop, newest, shown, crashes: written } = JSON.parse(json) as WrittenLoop;
  const { atUs: openedAtUs, alertId } = readOpening(opening);
  const crashes = Array.isArray(written) ? written as readonly string[] : [];
  return { alertId, loop, openedAtUs, newestUs: Number(newest), count: crashes.length, crashes, ...readShown(shown), token: opening };
}

function withoutToken({ token: _token, intervalMs: _intervalMs, ...loop }: ResolvedClaim): OpenLoop {
  return loop;
}

function readOpening(opening: string): { readonly atUs: number; readonly alertId: string } {
  const space = opening.indexOf(' ');
  const atUs = Number(opening.slice(0, space));
  return { atUs, alertId: makeAlertId(opening.slice(space + 1), atUs) };
}

function readList(reply: unknown): readonly unknown[] {
  if (!Array.isArray(reply)) throw unexpected(reply);
  return reply;
}

function unexpected(reply: unknown): HydrantError {
  return new HydrantError(`Expected a list from a script of the ledger, got ${JSON.stringify(reply)}`, { code: 'ledger-broken', retryable: true });
}
