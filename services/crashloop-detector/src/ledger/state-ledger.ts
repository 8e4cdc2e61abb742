/**
 * The ledger on a state store: loads what observations need, lets the rule decide, and commits. Observations that
 * arrive together are loaded and committed together; when somebody else was faster they are loaded and decided again.
 */
import type { Clock } from '@hydrant/shared/foundation/clock';
import { HydrantError, toError } from '@hydrant/shared/foundation/errors';
import type { StateLimits, StateStore } from '@hydrant/shared/state/state-store';
import { decide } from './decide.ts';
import { confirmClaim, endWhenDue, makeOpenLoop, makeResolvedClaim, type EndedLoop } from './end-loop.ts';
import {
  mostOpenLoops,
  resolvedLeaseMs,
  retentionMs,
  type Claim,
  type Decision,
  type Ledger,
  type LedgerSize,
  type Observation,
  type OpenLoop,
  type ResolvedClaim,
  type Rule,
} from './ledger.ts';
import { EntryCache } from './entry-cache.ts';
import { findLoop, keepEnd, keysOf, locateLoop, noteDeath } from './locate-loop.ts';
import type { LoopState } from './loop-state.ts';
import { RequestBatcher } from './request-batcher.ts';
import { WorkingSet } from './working-set.ts';

interface Request {
  readonly observation: Observation;
  readonly rule: Rule;
}

export interface StateLedgerOptions {
  readonly store: StateStore;
  readonly clock: Pick<Clock, 'now'>;
}

/** One commit keeps the store from serving anybody else for about a millisecond. */
const maxBatchSize = 100;
/** One batch in flight while the other is decided. */
const maxInFlight = 2;
/** After so many conflicts the observations of a batch go on one by one, and then each gives up. */
const maxConflicts = 5;
const maxConflictsAlone = 50;

/** Characters: some thousand loops with their newest event. */
const maxCachedLength = 8_000_000;

/** Most entries of a store for so many lineages: of the others there are a few for each. */
export function stateLimits(maxLineages: number): StateLimits {
  return { loop: maxLineages, allocation: 4 * maxLineages, name: maxLineages, end: maxLineages };
}

export function createLedger(options: StateLedgerOptions): Ledger {
  return new StateLedger(options);
}

class StateLedger implements Ledger {
  readonly #store: StateStore;
  readonly #clock: Pick<Clock, 'now'>;
  readonly #records: RequestBatcher<Request, Decision>;
  readonly #cache = new EntryCache(maxCachedLength);

  constructor({ store, clock }: StateLedgerOptions) {
    this.#store = store;
    this.#clock = clock;
    this.#records = new RequestBatcher({ maxBatchSize, maxInFlight, send: (requests) => this.#recordAll(requests) });
  }

  prepare(): Promise<void> {
    return this.#store.prepare();
  }

  record(observation: Observation, rule: Rule): Promise<Decision> {
    return this.#records.add({ observation, rule });
  }

  async confirm(claim: Claim): Promise<void> {
    await this.#transact(async (set) => {
      let found = findLoop(set, claim.group, claim.allocation);
      for (; found === undefined; found = findLoop(set, claim.group, claim.allocation)) await set.loadMissing();
      const { key, loop } = found;
      if (loop === null) return;
      const { changed, ended } = confirmClaim(loop, key, claim);
      if (changed) this.#keep(set, key, loop, ended);
    });
  }

  async takeResolved(limit: number): Promise<readonly ResolvedClaim[]> {
    const nowUs = this.#nowUs();
    const due = (await this.#store.due('loop', nowUs / 1000, limit)).map((key) => key.slice('loop/'.length));
    if (due.length > 0) await this.#transact((set) => this.#endDue(set, due, nowUs));
    const tokens = (await this.#store.due('end', nowUs / 1000, limit)).map((key) => key.slice('end/'.length));
    if (tokens.length === 0) return [];
    return this.#transact((set) => lease(set, tokens, nowUs / 1000));
  }

  async confirmResolved({ token }: Pick<ResolvedClaim, 'token'>): Promise<void> {
    await this.#transact(async (set) => {
      await set.load([`end/${token}`]);
      if (set.end(token) !== null) set.delete(`end/${token}`);
    });
  }

  async openLoops(): Promise<readonly OpenLoop[]> {
    const keys = await this.#store.due('loop', Infinity, mostOpenLoops);
    const set = new WorkingSet(this.#store);
    await set.load(keys);
    const loops = keys.flatMap((key) => {
      const name = key.slice('loop/'.length);
      const loop = set.loop(name);
      return (loop === null ? null : makeOpenLoop(loop, name)) ?? [];
    });
    return loops.sort((a, b) => a.openedAtUs - b.openedAtUs || (a.loop < b.loop ? -1 : 1));
  }

  async size(): Promise<LedgerSize> {
    const [lineages, openLoops] = await Promise.all([this.#store.count('loop'), this.#store.countDeadlines('loop')]);
    return { lineages, openLoops };
  }

  #nowUs(): number {
    return this.#clock.now() * 1000;
  }

  /** One decision for each, or why there is none. */
  async #recordAll(requests: readonly Request[]): Promise<readonly (Decision | Error)[]> {
    const isAlone = requests.length === 1;
    for (let conflicts = 0; conflicts < (isAlone ? maxConflictsAlone : maxConflicts); conflicts += 1) {
      const set = new WorkingSet(this.#store, this.#cache);
      const decisions = await this.#decideAll(set, requests);
      const result = await set.commit();
      if (result.outcome === 'committed') return withForgotten(decisions, result.evicted.get('loop') ?? 0);
    }
    if (isAlone) return [contended()];
    const decisions: (Decision | Error)[] = [];
    for (const request of requests) {
      for (const decision of await this.#recordAll([request]).catch((error: unknown) => [toError(error)]))
        decisions.push(decision);
    }
    return decisions;
  }

  async #decideAll(set: WorkingSet, requests: readonly Request[]): Promise<readonly (Decision | Error)[]> {
    await set.load(requests.flatMap(({ observation }) => keysOf(observation)));
    const decisions: (Decision | Error)[] = [];
    for (let at = 0; at < requests.length;) {
      const decision = this.#tryToDecide(set, requests[at] as Request);
      if (decision !== undefined) {
        decisions.push(decision);
        at += 1;
        continue;
      }
      // n.b. What the others lack is loaded in the same round.
      for (const { observation } of requests.slice(at + 1)) askFor(set, observation);
      await set.loadMissing();
    }
    return decisions;
  }

  /** Undefined when entries are missing. */
  #tryToDecide(set: WorkingSet, { observation, rule }: Request): Decision | Error | undefined {
    try {
      const nowUs = this.#nowUs();
      const located = locateLoop(set, observation, rule, nowUs);
      if (located === undefined) return undefined;
      if (located === null) return nothing;
      const { key, loop } = located;
      noteDeath(set, observation, rule);
      const { decision, changed, ended } = decide(loop, key, observation, rule, nowUs);
      for (const one of located.ended) keepEnd(set, one, nowUs);
      if (changed || located.changed || ended !== null) this.#keep(set, key, loop, ended, rule);
      return decision;
    } catch (error) {
      return toError(error);
    }
  }

  #keep(set: WorkingSet, key: string, loop: LoopState, ended: EndedLoop | null, rule = loop.shown?.rule): void {
    const keptMs = retentionMs(rule ?? { intervalMs: 0, notificationIntervalMs: 0 });
    set.putLoop(key, loop, loop.opening === null ? keptMs : 2 * keptMs);
    if (ended !== null) keepEnd(set, ended, this.#nowUs());
  }

  async #endDue(set: WorkingSet, keys: readonly string[], nowUs: number): Promise<void> {
    await set.load(keys.map((key) => `loop/${key}`));
    for (const key of keys) {
      const loop = set.loop(key);
      if (loop === null) {
        set.delete(`loop/${key}`);
        continue;
      }
      const { changed, ended } = endWhenDue(loop, key, nowUs);
      if (changed) this.#keep(set, key, loop, ended);
    }
  }

  /** Until it is committed. */
  async #transact<T>(change: (set: WorkingSet) => Promise<T>): Promise<T> {
    for (let conflicts = 0; conflicts < maxConflictsAlone; conflicts += 1) {
      const set = new WorkingSet(this.#store, this.#cache);
      const result = await change(set);
      if ((await set.commit()).outcome === 'committed') return result;
    }
    throw contended();
  }
}

const nothing: Decision = {
  action: 'none',
  recorded: { restarts: 0, hidden: 0, failures: 0, requested: 0, forgotten: 0 },
  verdicts: [],
  clockBehindUs: 0,
};

async function lease(set: WorkingSet, tokens: readonly string[], nowMs: number): Promise<readonly ResolvedClaim[]> {
  await set.load(tokens.map((token) => `end/${token}`));
  return tokens.flatMap((token) => {
    const ended = set.end(token);
    const isTaken = (set.deadlineOf(`end/${token}`) ?? 0) > nowMs;
    if (ended === null) set.delete(`end/${token}`);
    if (ended === null || isTaken) return [];
    set.putEnd(token, ended, {
      expiresInMs: retentionMs({ intervalMs: 0, notificationIntervalMs: 0 }),
      deadlineMs: Math.ceil(nowMs) + resolvedLeaseMs,
    });
    return [makeResolvedClaim(ended)];
  });
}

/** Notes what is missing for it. */
function askFor(set: WorkingSet, observation: Observation): void {
  for (const key of keysOf(observation)) set.has(key);
  if (observation.followLineage) findLoop(set, observation.group, observation.allocation);
}

function withForgotten(decisions: readonly (Decision | Error)[], forgotten: number): readonly (Decision | Error)[] {
  const at = forgotten === 0 ? -1 : decisions.findIndex((decision) => !(decision instanceof Error));
  return at === -1
    ? decisions
    : decisions.map((decision, position) =>
        position === at && !(decision instanceof Error)
          ? { ...decision, recorded: { ...decision.recorded, forgotten } }
          : decision,
      );
}

function contended(): HydrantError {
  return new HydrantError('Expected the state of a crash loop to be committed, others changed it each time', {
    code: 'state-contended',
    retryable: true,
  });
}
