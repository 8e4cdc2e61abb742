/** What the contract of the ledger is written in: observations in short, and what a decision comes to. */
import type { Test } from 'tap';
import { systemClock, type Clock } from '@hydrant/shared/foundation/clock';
import { createMemoryStateStore, MemoryState } from '@hydrant/shared/state/memory-state-store';
import type { StateStore } from '@hydrant/shared/state/state-store';
import type { CrashRecord } from './crash-window.ts';
import type { Claim, Decision, Ledger, Observation, ObservedRestart, Rule, TimedCrash } from './ledger.ts';
import { readLoop } from './loop-state.ts';
import { createLedger, stateLimits } from './state-ledger.ts';

export const minute = 60_000_000;
export const start = 1_795_231_700_123_456;
export const rule: Rule = { count: 3, intervalMs: 600_000, notificationIntervalMs: 600_000 };

export interface ManualClock extends Clock {
  /** Moves on to this moment, in microseconds since 1970; never back. */
  reach(us: number): void;
  pass(ms: number): void;
}

export function manualClock(startUs = start): ManualClock {
  let nowMs = Math.ceil(startUs / 1000);
  return {
    ...systemClock,
    now: () => nowMs,
    reach(us) {
      nowMs = Math.max(nowMs, Math.ceil(us / 1000));
    },
    pass(ms) {
      nowMs += ms;
    },
  };
}

/** A restart `at` minutes after the start. */
export function restart(number: number, at: number, kind: ObservedRestart['kind'] = 'crash'): ObservedRestart {
  return { number, kind, ...moment(at), detail: JSON.stringify({ reason: `#${number} at ${at}` }) };
}

/** A crash without a number, `at` minutes after the start. */
export function timed(at: number, detail: string, isFailure = false): TimedCrash {
  const { timeUs, timeNs } = moment(at);
  return { at: timeNs, timeUs, timeNs, detail: JSON.stringify({ reason: detail }), isFailure };
}

function moment(at: number): { readonly timeUs: number; readonly timeNs: string } {
  const timeUs = start + Math.round(at * minute);
  return { timeUs, timeNs: `${timeUs}000` };
}

export function observation(
  eventId: string,
  restarts: readonly ObservedRestart[],
  changes: Partial<Observation> = {},
): Observation {
  const newest = Math.max(0, ...[...restarts, ...(changes.timed ?? [])].map(({ timeUs }) => timeUs));
  return {
    eventId,
    group: 'c/r/default/job.group[0]/task',
    followLineage: true,
    allocation: 'c/a1',
    task: 'task',
    node: 'n',
    links: [],
    place: { cluster: 'c', namespace: 'default', job: 'job', group: 'group', task: 'task' },
    timed: [],
    status: null,
    createdAtUs: null,
    firstSeenUs: newest,
    modifiedAtUs: newest,
    restarts,
    lastEvent: newest === 0 ? null : `{"of":"${eventId}"}`,
    ...changes,
  };
}

/** The end of allocation `id`, `at` minutes after the start. */
export function failed(
  id: string,
  at: number,
  links: Observation['links'] = [],
  changes: Partial<Observation> = {},
): Observation {
  return observation(`e-${id}`, [], {
    allocation: id,
    links,
    timed: [timed(at, id, true)],
    lastEvent: `{"of":"${id}"}`,
    ...changes,
  });
}

export function replaced(child: string, parent: string): Observation['links'][number] {
  return { child, parent };
}

/** `opened 3`, `none`: what a decision comes to. */
export function shown(decision: Decision): string {
  return decision.action === 'announce' ? `${decision.status} ${decision.count}` : decision.action;
}

/** The crashes of an announcement or a loop by their reasons. */
export function reasons(crashes: readonly string[]): readonly string[] {
  return crashes.map((json) => (JSON.parse(json) as { readonly reason: string }).reason);
}

export function reasonsOf(decision: Decision): readonly string[] {
  return decision.action === 'announce' ? reasons(decision.crashes) : [];
}

export function claimOf(decision: Decision): Claim {
  if (decision.action !== 'announce') throw new Error(`Expected an announcement, got ${decision.action}`);
  return decision.claim;
}

/** A ledger whose clock is that of the observations: when one is recorded it is the moment of its event. */
export interface TimedLedger extends Ledger {
  readonly clock: ManualClock;
  /** Another on the same state, and the same clock. */
  another(): Ledger;
}

export function timedLedger(store: StateStore, clock: ManualClock): TimedLedger {
  const another = (): Ledger => createLedger({ store, clock });
  const ledger = another();
  return {
    clock,
    another,
    prepare: () => ledger.prepare(),
    record(observation, rule) {
      clock.reach(observation.modifiedAtUs);
      return ledger.record(observation, rule);
    },
    confirm: (claim) => ledger.confirm(claim),
    takeResolved: (limit) => ledger.takeResolved(limit),
    confirmResolved: (claim) => ledger.confirmResolved(claim),
    openLoops: () => ledger.openLoops(),
    size: () => ledger.size(),
  };
}

export type Behaviour = (t: Test, ledger: TimedLedger) => Promise<void>;

export interface PlayedLoop {
  readonly key: string;
  readonly crashes: readonly (CrashRecord & { readonly task: string })[];
}

/** A ledger in memory whose loops can be looked into. */
export function createPlayedLedger(clock = manualClock(0)): TimedLedger & { loops(): Promise<readonly PlayedLoop[]> } {
  const options = { limits: stateLimits(1000), clock };
  const state = new MemoryState(options);
  const store = createMemoryStateStore(options, state);
  return {
    ...timedLedger(store, clock),
    async loops() {
      return [...state.entries()]
        .filter(([key]) => key.startsWith('loop/'))
        .map(([key, { value }]) => {
          const { window, tasks } = readLoop(value);
          const names = new Map([...tasks].map(([task, { no }]) => [no, task]));
          const crashes = window.records.map((record) => ({
            ...record,
            task: names.get(Number.parseInt(record.id, 10)) ?? '',
          }));
          return { key: key.slice('loop/'.length), crashes };
        });
    },
  };
}
