/**
 * The port of the ledger: the crashes within the window, per lineage and task, and what was announced of them.
 * Adapters: Redis, and memory with a journal on disk. `decide.ts` says what both must answer.
 *
 * Seams left for later: loops that end (resolved) are not noticed yet, two lineages that turn out to be one are not joined yet,
 * and the number of lineages has no cap yet.
 */
import type { RestartKind } from '../crashes/extract-crashes.ts';
import type { Link } from '../crashes/lineage.ts';

export interface Rule {
  /** So many crashes make a loop. */
  readonly count: number;
  /** The window: crashes strictly less than this before the newest one. */
  readonly intervalMs: number;
  /** Least time between two announcements of one loop, by the time of the crashes. */
  readonly notificationIntervalMs: number;
}

export interface ObservedCrash {
  /** Microseconds since 1970: the finest that a double, and so a sorted set of Redis, holds exactly. */
  readonly timeUs: number;
  /** Opaque to the ledger. */
  readonly detail: string;
}

export interface ObservedRestart extends ObservedCrash {
  readonly number: number;
  readonly kind: RestartKind;
}

/** What one event proves about one task. Seeing it twice, late or out of order changes nothing. */
export interface Observation {
  /** The message's id: the claim of an announcement names it. */
  readonly eventId: string;
  /** Key of what is counted together. */
  readonly group: string;
  /** Whether the root of the allocation's lineage is part of that key. */
  readonly followLineage: boolean;
  readonly allocation: string;
  readonly task: string;
  readonly links: readonly Link[];
  /** The allocation's ModifyTime. */
  readonly modifiedAtUs: number;
  /** Oldest first, numbered without holes. */
  readonly restarts: readonly ObservedRestart[];
  /** The end of the task in this allocation, a crash of its own. */
  readonly failure: ObservedCrash | null;
  /** The event as it is shown in an alert whose newest crash is this one's, opaque; null when nothing in it counts. */
  readonly lastEvent: string | null;
}

/** What was new to the ledger, for the metrics. */
export interface Recorded {
  readonly restarts: number;
  /** Restarts that Nomad no longer showed. */
  readonly hidden: number;
  readonly failures: number;
  readonly requested: number;
}

/** The right to announce; it stays with the event that made it until it is confirmed. */
export interface Claim {
  /** The full key of what was counted together. */
  readonly loop: string;
  readonly eventId: string;
  /** Time of the crash that opened the loop: with `loop` it is the identity of the alert. */
  readonly openedAtUs: number;
  /** Time of the newest crash when the announcement was claimed. */
  readonly announcedAtUs: number;
}

export type Decision =
  | { readonly action: 'none' | 'late'; readonly recorded: Recorded }
  | {
    readonly action: 'announce';
    readonly status: 'opened' | 'ongoing';
    readonly recorded: Recorded;
    readonly claim: Claim;
    readonly count: number;
    /** Details of the crashes in the window, oldest first. */
    readonly crashes: readonly string[];
    readonly lastEvent: string;
  };

export interface Ledger {
  /**
   * Records what is new in the observation and decides in the same step. Resolves when both are kept.
   * A repeated call with the event of an unconfirmed claim gets that claim again. May be called many times at once;
   * rejects with a retryable error when the ledger cannot be reached, and then may or may not have recorded.
   */
  record(observation: Observation, rule: Rule): Promise<Decision>;
  /** The announcement is out. Without it the claim's event, redelivered, announces once more under the same alert id. May be called twice. */
  confirm(claim: Claim): Promise<void>;
}

/** Most crashes kept of one loop, and most hidden ones taken from one observation, unless the rule asks for more. */
export const mostCrashes = 1000;

export function crashCap(rule: Rule): number {
  return Math.max(mostCrashes, rule.count);
}

/** How long what is known of a lineage is kept without news of it. */
export function retentionMs(rule: Rule): number {
  return Math.max(24 * 3_600_000, 2 * (rule.intervalMs + rule.notificationIntervalMs));
}
