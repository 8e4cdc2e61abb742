/**
 * Puts what is read into the spool: the stream's frames, what nomad-firehose would have said of them, and between them
 * what a healing reads from the lists. What is made later, of a list of jobs, goes behind all that was read so far,
 * never between two parts of one frame.
 */
import type { Clock } from '@hydrant/shared/foundation/clock';
import type { Message } from '@hydrant/shared/messages/message';
import type { Spool } from '@hydrant/shared/spool/spool';
import type { Checkpoint } from './checkpoint/checkpoint-store.ts';
import type { CheckpointTracker } from './checkpoint/tracker.ts';
import type { GapReason } from './gap/decide-gap.ts';
import { parseFilter, planAdded, planAll } from './gap/heal-plan.ts';
import { Healer, type HealerTelemetry } from './gap/healer.ts';
import type { Snapshot } from './gap/list-healer.ts';
import type { NomadList } from './gap/nomad-lists.ts';
import type { ListedObject } from './gap/parse-list.ts';
import { RestoreWatch, type TopicIndexes } from './gap/restore-watch.ts';
import { changeOfFrames, changeOfSnapshots } from './job-changes.ts';
import type { FetchList } from './lists/list-reading.ts';
import { idPrefix } from './message/id-prefix.ts';
import type { FrameMessages } from './message/message-maker.ts';
import type { Redact } from './message/redact.ts';
import type { CompatMessages, MessageContext } from './nomad-firehose/compat-messages.ts';
import type { JobChange } from './nomad-firehose/job-stubs.ts';
import type { ReadWhole } from './nomad-firehose/whole-objects.ts';
import { makeSnapshotMessages } from './snapshot-messages.ts';
import type { FoundGap, FrameReceiver } from './source/frame-receiver.ts';
import type { StreamQuery } from './source/open-stream.ts';
import type { Frame } from './source/scan-frame.ts';

export interface IntakeTelemetry extends HealerTelemetry {
  nodeCopiesLeftOut(events: number): void;
  gapFound(gap: Pick<FoundGap, 'reason' | 'fromIndex' | 'toIndex'>): void;
  gapDisproved(index: number): void;
}

export interface IntakeOptions extends StreamQuery {
  readonly cluster: string;
  readonly start: 'oldest' | 'now' | 'snapshot';
}

export interface IntakePorts {
  readonly messages: FrameMessages;
  readonly compat: CompatMessages;
  readonly redact: Redact;
  readonly spool: Spool;
  readonly tracker: CheckpointTracker;
  /**
   * Called before frames go into the spool; `isWhole` is false while what they lack is being read, from the lists or a
   * second time. A rejection keeps them out.
   */
  readonly beforeFrames: (frames: { readonly isWhole: boolean; readonly epoch: number }) => Promise<void>;
  readonly fetchList: FetchList;
  readonly readWhole: ReadWhole;
  /** Whether the event stream is open. */
  readonly isReading: () => boolean;
  readonly jobsChanged: (change: JobChange) => void;
  /** Jobs that were told of are to be told of again. */
  readonly jobsAnew: () => void;
  readonly telemetry: IntakeTelemetry;
  readonly clock: Clock;
}

/** What goes into the spool at once. */
interface Load {
  readonly made: Message[];
  readonly snapshots: Snapshot[];
  leftOut: number;
  isLastLeftOut: boolean;
}

/** The indexes began anew, or may have: those from before say nothing. */
const anew: ReadonlySet<GapReason> = new Set(['rebuilt', 'index-went-back']);

function contextOf({ contentType, appId, headers, timestampMs }: Message): MessageContext {
  return { contentType, appId, headers, timestampMs };
}

export class Intake implements FrameReceiver {
  readonly healer: Healer;
  readonly #options: IntakeOptions;
  readonly #ports: IntakePorts;
  #lastFrameMs: number;
  /** What later messages stand for; without an index as long as nothing but snapshots was read. */
  #newest: { readonly index: number | undefined; readonly context: MessageContext } | undefined;
  readonly #restoreWatch = new RestoreWatch();
  /** How often indexes or objects began anew. */
  #epoch = 0;
  /** Nothing was received since they did. */
  #isAnew = false;
  /** Listed objects that did not change since were told of in nomad-firehose's form. */
  #compatSince = 0;
  #turns: Promise<unknown> = Promise.resolve();
  /** The stream is read a second time from an earlier index on, and nothing of that is in the spool yet. */
  #isGoingBack = false;
  /** Nothing but a silence that was taken for a gap is being healed. */
  #healsSilence = false;

  constructor(options: IntakeOptions, ports: IntakePorts) {
    const { clock, fetchList, isReading, spool, telemetry } = ports;
    this.#options = options;
    this.#ports = ports;
    this.#lastFrameMs = clock.monotonic();
    this.healer = new Healer(options, {
      fetchList,
      isReading,
      telemetry,
      clock,
      append: (choose, signal) => this.#inTurn(() => this.#appendSnapshots(choose, signal)),
      readWhole: (list, object, signal) => this.#readWhole(list, object, signal),
      restoreWatch: this.#restoreWatch,
      restoreFound: () => {
        this.#takeRestore();
      },
      lastPosition: () => spool.last,
    });
  }

  get secondsSinceFrame(): number {
    return (this.#ports.clock.monotonic() - this.#lastFrameMs) / 1000;
  }

  /** How often indexes or objects began anew. Goes into the checkpoint. */
  get epoch(): number {
    return this.#epoch;
  }

  /** By topic, the newest index that was shown. Goes into the checkpoint. */
  get topicIndexes(): TopicIndexes {
    return this.#restoreWatch.indexes;
  }

  /** What ids begin with from now on. */
  get idPrefix(): string {
    return idPrefix(this.#options, this.#epoch);
  }

  /** To be called before the stream is opened; `filter` is what it will be asked for. */
  begin(checkpoint: Pick<Checkpoint, 'index' | 'filter' | 'epoch' | 'topicIndexes'> | undefined, filter: string): void {
    this.#epoch = checkpoint?.epoch ?? 0;
    this.#restoreWatch.begin(checkpoint?.topicIndexes ?? {});
    if (checkpoint === undefined) {
      if (this.#options.start === 'snapshot') this.healer.heal(planAll(this.#options, 0), 0);
    } else if (checkpoint.filter !== filter) {
      this.#ports.telemetry.gapFound({ reason: 'filter-changed', fromIndex: checkpoint.index, toIndex: undefined });
      this.healer.heal(planAdded(parseFilter(checkpoint.filter), this.#options), checkpoint.index);
    }
  }

  streamOpened(): void {
    this.#ports.messages.streamOpened();
  }

  beginAfter(index: number): void {
    this.healer.known(index);
  }

  rereadFrom(index: number): Promise<void> {
    return this.#inTurn(async () => {
      this.#isGoingBack = true;
      this.#ports.tracker.hold(index);
      // n.b. a disk that is full says so when the frames come, which wait for this as well.
      await this.#ports.beforeFrames({ isWhole: false, epoch: this.#epoch }).catch(() => undefined);
    });
  }

  gapFound({ reason, since, fromIndex, toIndex }: FoundGap): void {
    this.#ports.telemetry.gapFound({ reason, fromIndex, toIndex });
    this.#healsSilence = reason === 'not-in-buffer' && (this.#healsSilence || !this.healer.isHealing);
    const isAnew = anew.has(reason);
    if (isAnew) this.#beginAnew();
    else this.#compatSince = Math.min(fromIndex ?? 0, this.healer.isHealing ? this.#compatSince : Infinity);
    this.healer.heal(planAll(this.#options, since), isAnew ? 0 : (fromIndex ?? 0), isAnew);
  }

  /** Indexes go on, but objects have gone back. */
  #takeRestore(): void {
    const { streamIndex } = this.healer;
    this.#ports.telemetry.gapFound({ reason: 'restored', fromIndex: streamIndex, toIndex: undefined });
    this.#healsSilence = false;
    this.#isAnew = false;
    this.#beginAnew();
    this.healer.heal(planAll(this.#options, 0), streamIndex ?? 0, true);
  }

  /**
   * Indexes and states that were published come again, and mean something else: their ids must not. The same gap, found
   * again before anything was received, is no new beginning.
   */
  #beginAnew(): void {
    if (!this.#isAnew) this.#epoch += 1;
    this.#isAnew = true;
    this.#compatSince = 0;
    this.#restoreWatch.clear();
    this.#ports.jobsAnew();
  }

  gapDisproved(index: number): void {
    if (!this.#healsSilence) return;
    this.#ports.telemetry.gapDisproved(index);
    this.healer.cancel();
  }

  receive(frames: readonly Frame[], signal: AbortSignal): Promise<void> {
    this.#lastFrameMs = this.#ports.clock.monotonic();
    return this.#inTurn(() => this.#takeOver(frames, signal));
  }

  /**
   * Appends what `make` gives, under the index of the newest frame; nothing as long as there is none. Rejects when
   * `signal` aborts before.
   */
  append(make: (context: MessageContext) => readonly Message[], signal: AbortSignal): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#newest === undefined) return;
      const made = make({ ...this.#newest.context, timestampMs: this.#ports.clock.now() });
      if (made.length > 0) await this.#ports.spool.append(made, signal);
    });
  }

  #inTurn(action: () => Promise<void>): Promise<void> {
    const turn = this.#turns.then(action);
    // The caller learns of a rejection; the next in turn need not.
    this.#turns = turn.catch(() => undefined);
    return turn;
  }

  async #takeOver(frames: readonly Frame[], signal: AbortSignal): Promise<void> {
    const { compat, spool, telemetry, tracker } = this.#ports;
    const load = this.#makeLoad(frames);
    if (this.#isGoingBack) tracker.rereadAfter(spool.last);
    if (load.made.length > 0) await this.#appendLoad(load, signal);
    compat.settle();
    this.#isAnew = false;
    if (load.leftOut > 0) telemetry.nodeCopiesLeftOut(load.leftOut);
    const last = frames.at(-1);
    if (last === undefined) return;
    if (load.isLastLeftOut) tracker.passed(spool.last, last.index);
    this.#noteNewest(last.index, load.made.at(-1), frames);
  }

  #makeLoad(frames: readonly Frame[]): Load {
    const { clock, compat, messages } = this.#ports;
    const timestampMs = clock.now();
    const load: Load = { made: [], snapshots: [], leftOut: 0, isLastLeftOut: false };
    const prefix = this.idPrefix;
    for (const frame of frames) {
      const due = this.healer.frame(frame);
      const ofFrame = messages.make(frame, timestampMs, prefix);
      this.#restoreWatch.show(frame);
      // n.b. a frame may have more events than a call takes arguments.
      for (const snapshot of due) load.snapshots.push(snapshot);
      for (const made of [this.#makeSnapshots(due), ofFrame.messages, compat.make(ofFrame.events, ofFrame.messages)])
        for (const message of made) load.made.push(message);
      load.leftOut += frame.events.length - ofFrame.events.length;
      load.isLastLeftOut = ofFrame.messages.length === 0;
    }
    return load;
  }

  async #appendLoad({ made, snapshots }: Load, signal: AbortSignal): Promise<void> {
    try {
      await this.#ports.beforeFrames({ isWhole: !this.healer.isHealing && !this.#isGoingBack, epoch: this.#epoch });
      await this.#ports.spool.append(made, signal);
      this.#isGoingBack = false;
      this.healer.kept(snapshots);
      this.#noteSnapshots(snapshots);
    } catch (error) {
      this.#ports.compat.forget();
      this.healer.putBack(snapshots);
      throw error;
    }
  }

  #noteNewest(index: number, last: Message | undefined, frames: readonly Frame[]): void {
    if (last === undefined) return;
    const before = this.#newest?.index;
    this.#newest = { index, context: contextOf(last) };
    this.#noteJobs(changeOfFrames(frames, before));
  }

  async #appendSnapshots(choose: () => readonly Snapshot[], signal: AbortSignal): Promise<void> {
    const { compat, spool } = this.#ports;
    const snapshots = choose();
    const made = this.#makeSnapshots(snapshots);
    if (made.length === 0) return;
    try {
      await spool.append(made, signal);
    } catch (thrown) {
      compat.forget();
      throw thrown;
    }
    compat.settle();
    const last = made.at(-1);
    if (this.#newest === undefined && last !== undefined) this.#newest = { index: undefined, context: contextOf(last) };
    this.#noteSnapshots(snapshots);
  }

  #noteSnapshots(snapshots: readonly Snapshot[]): void {
    this.#noteJobs(changeOfSnapshots(snapshots, this.#compatSince, this.#newest?.index));
  }

  #noteJobs(change: JobChange | undefined): void {
    if (change !== undefined) this.#ports.jobsChanged(change);
  }

  #makeSnapshots(snapshots: readonly Snapshot[]): Message[] {
    return makeSnapshotMessages(snapshots, {
      ...this.#options,
      ...this.#ports,
      idPrefix: this.idPrefix,
      compatSince: this.#compatSince,
    });
  }

  async #readWhole(
    { topic }: NomadList,
    { namespace, key, modifyIndex }: ListedObject,
    signal: AbortSignal,
  ): Promise<Buffer | undefined> {
    return modifyIndex > this.#compatSince
      ? this.#ports.readWhole({ topic, namespace, key, modifyIndex }, signal)
      : undefined;
  }
}
