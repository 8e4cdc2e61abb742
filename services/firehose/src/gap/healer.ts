/**
 * Heals gaps: reads from Nomad's lists what the stream did not show and lets it out between the stream's frames, in the order of the snapshot merge.
 *
 * One healing at a time; a gap that is found meanwhile begins it anew, for what both have missed. While one is under way `isHealing` is true and
 * the checkpoint must not move: a process that dies then finds the same gap again. States: idle → healing (waits for the stream to be open, lists,
 * lets the stream catch up) → idle.
 */
import { createBackoff } from '@hydrant/shared/foundation/backoff';
import type { Clock } from '@hydrant/shared/foundation/clock';
import { errorCode, toError } from '@hydrant/shared/foundation/errors';
import type { Frame } from '../source/scan-frame.ts';
import { mergePlans, type HealPlan } from './heal-plan.ts';
import { listsOf, unlistedTopics, type NomadList } from './nomad-lists.ts';
import { readList, type FetchList, type ListedObject } from './read-list.ts';
import { identityOf, SnapshotMerge, type Listed } from './snapshot-merge.ts';

/** An object of a list, on its way to become a message. */
export interface Snapshot extends Listed {
  readonly list: NomadList;
  readonly object: ListedObject;
}

export interface HealerTelemetry {
  healStarted(plan: HealPlan): void;
  /** The list is tried again; said once per healing and list. */
  listFailed(failure: { readonly topic: string; readonly isFirst: boolean; readonly err: Error }): void;
  /** What was missed of these topics is lost: there is no such list, or it may not be read. */
  topicsUnhealed(topics: readonly string[], err: Error | undefined): void;
  healEnded(healed: { readonly events: number; readonly ms: number }): void;
}

export interface HealerOptions {
  readonly namespace: string;
  readonly region: string;
  readonly perPage?: number;
  /** The stream has shown what it has when nothing came for so long. */
  readonly settleMs?: number;
  /** How long a list that is denied is tried again. */
  readonly deniedMs?: number;
  readonly retryMinMs?: number;
}

export interface HealerPorts {
  readonly fetchList: FetchList;
  /** Resolves when the log holds them, in the order of the calls. */
  readonly append: (snapshots: readonly Snapshot[], signal: AbortSignal) => Promise<void>;
  /** Position of the newest record in the log. */
  readonly lastPosition: () => number;
  /** Whether the event stream is open. */
  readonly isReading: () => boolean;
  readonly telemetry: HealerTelemetry;
  readonly clock: Clock;
}

const defaults = { perPage: 500, settleMs: 2_000, deniedMs: 60_000, retryMinMs: 250 };
const retryMaxMs = 15_000;
const lookMs = 50;
/** Objects per append: so many go out before the stream gets its turn. */
const appendObjects = 100;
/** Listed objects that wait for the stream before listing waits for it as well. */
const mostPending = 5_000;

export class Healer {
  readonly #options: HealerOptions & typeof defaults;
  readonly #ports: HealerPorts;
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
  /** By topic, what was read of its list to the end: as long as Nomad says the same index of it, nothing in it has changed. */
  readonly #read = new Map<string, { readonly since: number; readonly index: number }>();
  /** Where the frames began after the newest gap. */
  #streamIndex = 0;

  constructor(options: HealerOptions, ports: HealerPorts) {
    this.#options = { ...defaults, ...options };
    this.#ports = ports;
  }

  /** True until everything that was missed is in the log. */
  get isHealing(): boolean {
    return this.#merge !== undefined;
  }

  /** Whether the checkpoint may move when the log is confirmed up to `position`: not before what was missed is confirmed, too. */
  mayMoveCheckpoint(position: number): boolean {
    return !this.isHealing && position >= this.#healedAt;
  }

  /** Frames up to `index` are known, though they did not pass `frame`. */
  known(index: number): void {
    this.#merge?.show(index, []);
  }

  /** Begins at once. The frames that follow begin after `streamIndex`. */
  heal(plan: HealPlan, streamIndex: number): void {
    if (plan.size === 0 || this.#stopping.signal.aborted) return;
    this.#plan = mergePlans(this.#plan, plan);
    if (streamIndex < this.#streamIndex) this.#read.clear();
    this.#streamIndex = streamIndex;
    // n.b. when the indexes began anew, what older frames have shown says nothing any more.
    if (this.#merge === undefined || streamIndex < this.#merge.streamIndex) this.#merge = new SnapshotMerge(streamIndex);
    this.#restart.abort();
    this.#restart = new AbortController();
    this.#running ??= this.#run();
  }

  /** Nothing was missed after all: ends the healing that is under way. */
  cancel(): void {
    if (this.#merge === undefined) return;
    this.#plan = new Map();
    this.#merge = new SnapshotMerge(this.#merge.streamIndex);
    this.#restart.abort();
    this.#restart = new AbortController();
  }

  /** To be called for each frame before it goes out; what it gives back goes out first, and then to `kept` or `putBack`. */
  frame({ index, events }: Frame): Snapshot[] {
    if (this.#merge === undefined) return [];
    this.#lastFrameMs = this.#ports.clock.monotonic();
    const due = this.#merge.before(index);
    this.#merge.show(index, events.flatMap(({ head }) => (head === undefined ? [] : [identityOf(head.topic, head.namespace, head.key)])));
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
    if (unlisted.length > 0) telemetry.topicsUnhealed(unlisted, undefined);
    while (!isReading() && !signal.aborted) await clock.sleep(lookMs, signal);
    for (const list of listsOf(plan.keys())) {
      await this.#healList(list, Math.min(plan.get(list.topic) ?? Infinity, plan.get('*') ?? Infinity), signal);
    }
    await this.#settle(signal);
    return !signal.aborted;
  }

  async #healList(list: NomadList, since: number, signal: AbortSignal): Promise<void> {
    const { clock, telemetry } = this.#ports;
    const backoff = createBackoff({ minMs: this.#options.retryMinMs, maxMs: retryMaxMs });
    const startedMs = clock.monotonic();
    for (let isFirst = true; !signal.aborted; isFirst = false) {
      try {
        await this.#readList(list, since, signal);
        return;
      } catch (thrown) {
        if (signal.aborted) return;
        if (this.#isHopeless(thrown, clock.monotonic() - startedMs)) {
          telemetry.topicsUnhealed([list.topic], toError(thrown));
          return;
        }
        telemetry.listFailed({ topic: list.topic, isFirst, err: toError(thrown) });
        await clock.sleep(backoff.next(), signal);
      }
    }
  }

  /** An older Nomad has no such list; a token that may not read it may be renewed. */
  #isHopeless(thrown: unknown, triedMs: number): boolean {
    const code = errorCode(thrown);
    return code === 'nomad-not-found' || (code === 'nomad-denied' && triedMs >= this.#options.deniedMs);
  }

  async #readList(list: NomadList, since: number, signal: AbortSignal): Promise<void> {
    const { namespace, region, perPage } = this.#options;
    let index: number | undefined;
    for await (const page of readList(list, { namespace, region, perPage }, this.#ports.fetchList, signal)) {
      // What was answered before the indexes began anew says nothing to the merge of after.
      signal.throwIfAborted();
      if (index === undefined && this.#isKnown(list, since, page.index)) return;
      index ??= page.index;
      const missed = page.objects.filter((object) => object.modifyIndex > since);
      const snapshots = missed.map((object): Snapshot => ({
        list, object, identity: identityOf(list.topic, object.namespace, object.key), modifyIndex: object.modifyIndex,
      }));
      for (let at = 0; at < snapshots.length; at += appendObjects) {
        await this.#append(this.#merge?.list(snapshots.slice(at, at + appendObjects)) ?? [], signal);
        signal.throwIfAborted();
      }
      if ((this.#merge?.pending ?? 0) > mostPending) await this.#settle(signal);
    }
    this.#read.set(list.topic, { since, index: index ?? 0 });
  }

  /** A Nomad that is quiet and has nothing in its buffer shows the same gap at each connection. */
  #isKnown({ topic }: NomadList, since: number, index: number): boolean {
    const before = this.#read.get(topic);
    return before !== undefined && index > 0 && before.index === index && before.since <= since;
  }

  /** Lets the stream catch up with what was listed ahead of it, and lets out what it does not show. */
  async #settle(signal: AbortSignal): Promise<void> {
    const { clock, isReading } = this.#ports;
    this.#lastFrameMs = clock.monotonic();
    while (((this.#merge?.pending ?? 0) > 0 || this.#given > 0) && !signal.aborted) {
      await clock.sleep(lookMs, signal);
      if (!isReading()) this.#lastFrameMs = clock.monotonic();
      if (clock.monotonic() - this.#lastFrameMs < this.#options.settleMs) continue;
      const rest = this.#merge?.rest() ?? [];
      // n.b. a log that takes nothing breaks the stream as well, which says so.
      await this.#append(rest, signal).catch(() => { this.#takeBack(rest); });
    }
  }

  #takeBack(snapshots: readonly Snapshot[]): void {
    this.#events -= snapshots.length;
    this.#merge?.putBack(snapshots);
  }

  /** Rejects when the log is closed or `signal` aborts. */
  async #append(snapshots: readonly Snapshot[], signal: AbortSignal): Promise<void> {
    if (snapshots.length > 0) await this.#ports.append(this.#count(snapshots), signal);
  }

  #count<T extends readonly Snapshot[]>(snapshots: T): T {
    this.#events += snapshots.length;
    return snapshots;
  }
}
