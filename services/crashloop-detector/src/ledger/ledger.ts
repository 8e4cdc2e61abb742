/**
 * What the detector asks of what it remembers: the crashes within the window, per lineage and task, and what was
 * announced of them. One implementation, on any state store: `state-ledger.ts`.
 */
import type { RestartKind } from '../crashes/extract-crashes.ts';
import type { Link } from '../crashes/lineage.ts';
import type { ObservedStatus } from '../crashes/task-status.ts';

export interface Rule {
  /** So many crashes make a loop. */
  readonly count: number;
  /**
   * The window: crashes strictly less than this before the newest one. Also how long a task must run for its loop to
   * end.
   */
  readonly intervalMs: number;
  /** Least time between two announcements of one loop, by the time of the crashes. */
  readonly notificationIntervalMs: number;
}

/** Where an alert says its crashes are from. */
export interface Place {
  readonly cluster: string;
  readonly namespace: string;
  readonly job: string;
  readonly group: string;
  readonly task: string;
}

export interface ObservedCrash {
  /** Microseconds since 1970. */
  readonly timeUs: number;
  /** The same in nanoseconds, in decimal: more than a number holds. */
  readonly timeNs: string;
  /** JSON object, opaque to the ledger; without the time, so that what repeats from crash to crash is kept once. */
  readonly detail: string;
  /** How long the task had run before it; undefined when the event does not show it. */
  readonly ranUs?: number | undefined;
}

export interface ObservedRestart extends ObservedCrash {
  readonly number: number;
  readonly kind: RestartKind;
}

/** A crash without a number: its own time tells it apart. */
export interface TimedCrash extends ObservedCrash {
  /** Nanoseconds since 1970 in decimal, as the client wrote them. */
  readonly at: string;
  /** The end of the task in its allocation. */
  readonly isFailure: boolean;
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
  readonly place: Place;
  /** Where the allocation runs. */
  readonly node: string;
  readonly links: readonly Link[];
  /** The allocation's ModifyTime, by the clock of the servers. */
  readonly modifiedAtUs: number;
  /** When the allocation was made, by the clock of the servers; null when the event does not say. */
  readonly createdAtUs: number | null;
  /** The earliest moment in the life of the task that the event shows. */
  readonly firstSeenUs: number;
  /** Oldest first, numbered without holes. */
  readonly restarts: readonly ObservedRestart[];
  readonly timed: readonly TimedCrash[];
  /** What became of the task; null when the event does not say. */
  readonly status: ObservedStatus | null;
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
  /** Lineages that had to make room, the longest without news first. */
  readonly forgotten: number;
}

/** What became of a crash of the observation: `old` ones lie before the window. */
export type Verdict = 'counted' | 'known' | 'old' | 'requested';

/** The right to announce; it stays with the event that made it until it is confirmed. */
export interface Claim {
  /** The same through the life of a loop. */
  readonly alertId: string;
  readonly group: string;
  /** The allocation whose lineage loops; null when the group alone is counted. */
  readonly allocation: string | null;
  readonly eventId: string;
  /** Time of the crash that opened the loop. */
  readonly openedAtUs: number;
  /** Time of the newest crash when the announcement was claimed. */
  readonly announcedAtUs: number;
}

interface Decided {
  readonly recorded: Recorded;
  /** Of the restarts, then of the timed crashes, in the order of the observation. */
  readonly verdicts: readonly Verdict[];
  /** How far the node's clock is proven to be behind that of the servers. */
  readonly clockBehindUs: number;
}

export type Decision = Decided &
  (
    | { readonly action: 'none' | 'late' }
    | {
        readonly action: 'announce';
        readonly status: 'opened' | 'ongoing';
        readonly claim: Claim;
        readonly count: number;
        /** Details of the crashes in the window in JSON, oldest first. */
        readonly crashes: readonly string[];
        readonly lastEvent: string;
      }
  );

/** A loop that was announced and has not ended. */
export interface OpenLoop {
  readonly alertId: string;
  /** Key of what is counted together. */
  readonly loop: string;
  readonly openedAtUs: number;
  readonly newestUs: number;
  readonly count: number;
  /** Details of the crashes in the window, oldest first. */
  readonly crashes: readonly string[];
  /** Of the newest crash. */
  readonly lastEvent: string;
  readonly place: Place;
}

/**
 * Why a loop ended: `ran`, the task has run long enough; `stopped` by a person; `silent`, nothing was heard of it for
 * long.
 */
export type EndReason = 'ran' | 'stopped' | 'silent';

/** The right to announce the end of a loop; it passes to whoever asks next when it is not confirmed in time. */
export interface ResolvedClaim extends OpenLoop {
  /** Opaque; confirms it. */
  readonly token: string;
  readonly intervalMs: number;
  readonly reason: EndReason;
}

export interface LedgerSize {
  readonly lineages: number;
  readonly openLoops: number;
}

export interface Ledger {
  /** See `StateStore.prepare`. */
  prepare(): Promise<void>;
  /**
   * Records what is new in the observation and decides in the same step. Resolves when both are kept.
   * A repeated call with the event of an unconfirmed claim gets that claim again. May be called many times at once;
   * rejects with a retryable error when the ledger cannot be reached, and then may or may not have recorded.
   */
  record(observation: Observation, rule: Rule): Promise<Decision>;
  /**
   * The announcement is out. Without it the claim's event, redelivered, announces once more under the same alert id.
   * May be called twice.
   */
  confirm(claim: Claim): Promise<void>;
  /**
   * Ends the loops that are over and gives at most `limit` ends that nobody is announcing. An end that is not confirmed
   * within half a minute is given again, under the same alert id. A loop whose announcement is not confirmed yet has no
   * end.
   */
  takeResolved(limit: number): Promise<readonly ResolvedClaim[]>;
  /** The end is announced. May be called twice. */
  confirmResolved(claim: Pick<ResolvedClaim, 'token'>): Promise<void>;
  /** What loops now and was announced, in the order of opening; of more than `mostOpenLoops` only that many. */
  openLoops(): Promise<readonly OpenLoop[]>;
  size(): Promise<LedgerSize>;
}

/** Most crashes kept of one loop, and most hidden ones taken from one observation, unless the rule asks for more. */
export const mostCrashes = 1000;

export const mostOpenLoops = 1000;

/** How many lineages a ledger knows unless told otherwise. */
export const defaultMaxLineages = 100_000;

/** How long the end of a loop stays with the one that took it. */
export const resolvedLeaseMs = 30_000;

const dayMs = 24 * 3_600_000;

export function crashCap(rule: Pick<Rule, 'count'>): number {
  return Math.max(mostCrashes, rule.count);
}

/** How long what is known of a lineage is kept without news of it, and how long an open loop may be silent. */
export function retentionMs(rule: Pick<Rule, 'intervalMs' | 'notificationIntervalMs'>): number {
  return Math.max(dayMs, 2 * (rule.intervalMs + rule.notificationIntervalMs));
}
