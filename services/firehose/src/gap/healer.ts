/**
 * Heals gaps: reads from Nomad's lists what the stream did not show and lets it out between the stream's frames, in the
 * order of the snapshot merge.
 *
 * One healing at a time; a gap that is found meanwhile begins it anew, for what both have missed. While one is under
 * way `isHealing` is true and the checkpoint must not move: a process that dies then finds the same gap again. States:
 * idle → healing (waits for the stream to be open, lists, lets the stream catch up) → idle.
 */
import { toError } from '@hydrant/shared/foundation/errors';
import type { Frame } from '../source/scan-frame.ts';
import { mergePlans, type HealPlan } from './heal-plan.ts';
import {
  ListHealer,
  type ListHealerOptions,
  type ListHealerPorts,
  type ListHealerTelemetry,
  type Snapshot,
} from './list-healer.ts';
import { unlistedTopics } from './nomad-lists.ts';
import { identityOf, SnapshotMerge } from './snapshot-merge.ts';

export interface HealerTelemetry extends ListHealerTelemetry {
  healStarted(plan: HealPlan): void;
  healEnded(healed: { readonly events: number; readonly ms: number }): void;
}

export interface HealerOptions extends ListHealerOptions {
  /** The stream has shown what it has when nothing came for so long. */
  readonly settleMs?: number;
}

export interface HealerPorts extends ListHealerPorts {
  /**
   * Calls `choose` when it is its turn, and resolves when the log holds what that gave. Rejects when the log takes
   * nothing or `signal` aborts.
   */
  readonly append: (choose: () => readonly Snapshot[], signal: AbortSignal) => Promise<void>;
  /** Position of the newest record in the log. */
  readonly lastPosition: () => number;
  /** Whether the event stream is open. */
  readonly isReading: () => boolean;
  readonly telemetry: HealerTelemetry;
}

const defaultSettleMs = 2_000;
const lookMs = 50;
/** Objects per append: so many go out before the stream gets its turn. */
const appendObjects = 100;
/** Listed objects that wait for the stream before listing waits for it as well. */
const mostPending = 5_000;

export class Healer {
  readonly #settleMs: number;
  readonly #ports: HealerPorts;
  readonly #lists: ListHealer;
  readonly #stopping = new AbortController();
  #merge: SnapshotMerge<Snapshot> | undefined;
  #plan: HealPlan = new Map();
  #restart = new AbortController();
  #running: Promise<void> | undefined;
  /** Position in the log of the last that was healed. */
  #healedAt = 0;
  #lastFrameMs = 0;
  #events = 0;
  /** Given by `frame`, and neither kept nor put back. */
  #given = 0;
  /** Where the frames began after the newest gap. */
  #streamIndex = 0;

  constructor(options: HealerOptions, ports: HealerPorts) {
    this.#settleMs = options.settleMs ?? defaultSettleMs;
    this.#ports = ports;
    this.#lists = new ListHealer(options, ports);
  }

  /** True until everything that was missed is in the log. */
  get isHealing(): boolean {
    return this.#merge !== undefined;
  }

  /**
   * Whether the checkpoint may move when the log is confirmed up to `position`: not before what was missed is
   * confirmed, too.
   */
  mayMoveCheckpoint(position: number): boolean {
    return !this.isHealing && position >= this.#healedAt;
  }

  /** Frames up to `index` are known, though they did not pass `frame`. */
  known(index: number): void {
    this.#merge?.show(index, []);
  }

  /** Index of the newest frame that has gone out, while healing. */
  get streamIndex(): number | undefined {
    return this.#merge?.streamIndex;
  }

  /**
   * Begins at once. The frames that follow begin after `streamIndex`. `isAnew`: neither what was shown nor what was
   * listed before says anything more.
   */
  heal(plan: HealPlan, streamIndex: number, isAnew = false): void {
    if (plan.size === 0 || this.#stopping.signal.aborted) return;
    this.#plan = mergePlans(this.#plan, plan);
    if (isAnew || streamIndex < this.#streamIndex) this.#lists.forget();
    this.#streamIndex = streamIndex;
    if (this.#merge === undefined || isAnew || streamIndex < this.#merge.streamIndex)
      this.#merge = new SnapshotMerge(streamIndex);
    this.#restart.abort();
    this.#restart = new AbortController();
    this.#running ??= this.#run();
  }

  /**
   * Nothing was missed after all: ends the healing that is under way. What was listed and has not gone out yet is
   * forgotten, and so is that it was listed.
   */
  cancel(): void {
    if (this.#merge === undefined) return;
    this.#lists.forget();
    this.#plan = new Map();
    this.#merge = new SnapshotMerge(this.#merge.streamIndex);
    this.#restart.abort();
    this.#restart = new AbortController();
  }

  /**
   * To be called for each frame before it goes out; what it gives back goes out first, and then to `kept` or `putBack`.
   */
  frame({ index, events }: Frame): Snapshot[] {
    if (this.#merge === undefined) return [];
    this.#lastFrameMs = this.#ports.clock.monotonic();
    const due = this.#merge.before(index);
    this.#merge.show(
      index,
      events.flatMap(({ head }) => (head === undefined ? [] : [identityOf(head.topic, head.namespace, head.key)])),
    );
    this.#given += due.length;
    return this.#count(due);
  }

  /** What `frame` gave is in the log. */
  kept(snapshots: readonly Snapshot[]): void {
    this.#given -= snapshots.length;
  }

  /** What `frame` gave and did not get into the log. */
  putBack(snapshots: readonly Snapshot[]): void {
    this.#given -= snapshots.length;
    this.#takeBack(snapshots);
  }

  /** Resolves when nothing more goes out. Safe twice and without `heal`. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { clock, telemetry } = this.#ports;
    const stop = this.#stopping.signal;
    const startedMs = clock.monotonic();
    this.#events = 0;
    for (let isDone = false; !isDone && !stop.aborted;) {
      const signal = AbortSignal.any([stop, this.#restart.signal]);
      if (this.#plan.size > 0) telemetry.healStarted(this.#plan);
      isDone = await this.#healOnce(this.#plan, signal);
    }
    this.#running = undefined;
    if (stop.aborted) return;
    const isCancelled = this.#plan.size === 0 && this.#events === 0;
    this.#merge = undefined;
    this.#plan = new Map();
    this.#healedAt = this.#ports.lastPosition();
    if (!isCancelled) telemetry.healEnded({ events: this.#events, ms: clock.monotonic() - startedMs });
  }

  /** False when `signal` ended it. */
  async #healOnce(plan: HealPlan, signal: AbortSignal): Promise<boolean> {
    const { clock, isReading, telemetry } = this.#ports;
    const unlisted = unlistedTopics(plan.keys());
    if (unlisted.length > 0) telemetry.topicsUnhealed(unlisted, { err: undefined, isRepeat: false });
    while (!isReading() && !signal.aborted) await clock.sleep(lookMs, signal);
    await this.#lists.read(plan, (snapshots) => this.#letOut(snapshots, signal), signal);
    await this.#settle(signal);
    return !signal.aborted;
  }

  /** Resolves with what kept the log from taking all of it, or undefined. */
  async #letOut(snapshots: readonly Snapshot[], signal: AbortSignal): Promise<Error | undefined> {
    let failure: Error | undefined;
    for (let at = 0; at < snapshots.length && !signal.aborted; at += appendObjects) {
      const chunk = snapshots.slice(at, at + appendObjects);
      failure = (await this.#append(() => this.#merge?.list(chunk) ?? [], signal)) ?? failure;
    }
    if ((this.#merge?.pending ?? 0) > mostPending) await this.#settle(signal);
    return failure;
  }

  /** Lets the stream catch up with what was listed ahead of it, and lets out what it does not show. */
  async #settle(signal: AbortSignal): Promise<void> {
    const { clock, isReading } = this.#ports;
    this.#lastFrameMs = clock.monotonic();
    while (((this.#merge?.pending ?? 0) > 0 || this.#given > 0) && !signal.aborted) {
      await clock.sleep(lookMs, signal);
      if (!isReading()) this.#lastFrameMs = clock.monotonic();
      if (clock.monotonic() - this.#lastFrameMs < this.#settleMs) continue;
      // n.b. a log that takes nothing breaks the stream as well, which says so.
      await this.#append(() => this.#merge?.rest() ?? [], signal);
    }
  }

  #takeBack(snapshots: readonly Snapshot[]): void {
    this.#events -= snapshots.length;
    this.#merge?.putBack(snapshots);
  }

  /** What kept the log from taking what `choose` gives; it waits for the stream, or the next settling, then. */
  async #append(choose: () => readonly Snapshot[], signal: AbortSignal): Promise<Error | undefined> {
    let chosen: readonly Snapshot[] = [];
    try {
      await this.#ports.append(() => {
        chosen = signal.aborted ? [] : this.#count(choose());
        return chosen;
      }, signal);
      return undefined;
    } catch (thrown) {
      this.#takeBack(chosen);
      return toError(thrown);
    }
  }

  #count<T extends readonly Snapshot[]>(snapshots: T): T {
    this.#events += snapshots.length;
    return snapshots;
  }
}
