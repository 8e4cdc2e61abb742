/** What the contract of the ledger is written in: observations in short, and what a decision comes to. */
import type { Test } from 'tap';
import type { Claim, Decision, Ledger, Observation, ObservedRestart, Rule } from './ledger.ts';

export const minute = 60_000_000;
export const start = 1_795_231_700_123_456;
export const rule: Rule = { count: 3, intervalMs: 600_000, notificationIntervalMs: 600_000 };

/** A restart `at` minutes after the start. */
export function restart(number: number, at: number, kind: ObservedRestart['kind'] = 'crash'): ObservedRestart {
  return { number, kind, timeUs: start + at * minute, detail: `#${number} at ${at}` };
}

export function observation(eventId: string, restarts: readonly ObservedRestart[], changes: Partial<Observation> = {}): Observation {
  const newest = Math.max(0, ...[...restarts, ...(changes.failure ? [changes.failure] : [])].map(({ timeUs }) => timeUs));
  return {
    eventId, group: 'c/r/default/job.group[0]/task', followLineage: true, allocation: 'c/a1', task: 'task', links: [],
    place: { cluster: 'c', namespace: 'default', job: 'job', group: 'group', task: 'task' }, timed: [],
    modifiedAtUs: newest, restarts, failure: null, lastEvent: newest === 0 ? null : `{"of":"${eventId}"}`, ...changes,
  };
}

/** `opened 3`, `none`: what a decision comes to. */
export function shown(decision: Decision): string {
  return decision.action === 'announce' ? `${decision.status} ${decision.count}` : decision.action;
}

export function claimOf(decision: Decision): Claim {
  if (decision.action !== 'announce') throw new Error(`Expected an announcement, got ${decision.action}`);
  return decision.claim;
}

export type Behaviour = (t: Test, ledger: Ledger) => Promise<void>;

/** The end of allocation `id`, `at` minutes after the start. */
export function failed(id: string, at: number, links: Observation['links'] = [], changes: Partial<Observation> = {}): Observation {
  return observation(`e-${id}`, [], {
    allocation: id, links, failure: { timeUs: start + at * minute, detail: id }, modifiedAtUs: start + at * minute, lastEvent: `{"of":"${id}"}`, ...changes,
  });
}

export function replaced(child: string, parent: string): Observation['links'][number] {
  return { child, parent };
}
