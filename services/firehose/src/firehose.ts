/**
 * The firehose, wired: reading → spool → publisher → bus, with the checkpoint behind. It knows ports only, so that
 * standalone runs the same parts on a bus, a spool and a checkpoint of its own.
 */
import type { Bus } from '@hydrant/shared/bus/bus';
import type { Clock } from '@hydrant/shared/foundation/clock';
import type { HealthCheck } from '@hydrant/shared/runtime/admin/health';
import type { Component } from '@hydrant/shared/runtime/component';
import type { Logger } from '@hydrant/shared/runtime/telemetry/logger';
import type { Metrics } from '@hydrant/shared/runtime/telemetry/metrics';
import type { Cursor, Spool } from '@hydrant/shared/spool/spool';
import type { Checkpoint, CheckpointStore } from './checkpoint/checkpoint-store.ts';
import { loadCheckpoint } from './checkpoint/load-checkpoint.ts';
import { CheckpointSaver } from './checkpoint/saver.ts';
import { createCheckpointTracker } from './checkpoint/tracker.ts';
import type { Intake } from './intake.ts';
import type { HeldLease } from './lease/lease.ts';
import { carriesJobs } from './message/redact.ts';
import { SpoolPublisher } from './publish/spool-publisher.ts';
import { createQueueWait } from './publish/queue-wait.ts';
import { createReading, type ReadingOptions } from './wire-intake.ts';
import { createBacklog } from './spool/backlog.ts';
import type { SpoolNoteStore } from './spool/spool-note.ts';
import { describeFilter } from './source/open-stream.ts';
import { createFirehoseTelemetry, type FirehoseGauges } from './telemetry.ts';

export interface FirehoseOptions extends ReadingOptions {
  /** Queues that must exist before the first publish. */
  readonly waitForQueues: readonly string[];
}

export interface FirehosePorts {
  readonly bus: Pick<Bus, 'publish' | 'hasQueue'>;
  /** The firehose's own: it opens and closes it. */
  readonly spool: Spool;
  readonly checkpointStore: CheckpointStore;
  /**
   * Without it nothing is published and no checkpoint saved while it is not held. Undefined: this is the only firehose.
   */
  readonly lease?: HeldLease | undefined;
  /** Of a spool that outlives the process. */
  readonly spoolNote?: SpoolNoteStore | undefined;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly clock: Clock;
}

export interface Firehose extends Component {
  readonly healthChecks: readonly HealthCheck[];
}

function makeGauges({
  publisher,
  cursor,
  spool,
  intake,
}: {
  readonly publisher: SpoolPublisher;
  readonly cursor: Cursor;
  readonly spool: Spool;
  readonly intake: Intake;
}): FirehoseGauges {
  return {
    unconfirmed: () => publisher.unconfirmed,
    spoolEvents: () => cursor.lag,
    spoolBytes: () => spool.bytes,
    secondsSinceFrame: () => intake.secondsSinceFrame,
    isHealing: () => (intake.healer.isHealing ? 1 : 0),
  };
}

export function createFirehose(
  options: FirehoseOptions,
  { bus, spool, spoolNote, checkpointStore, lease, log, metrics, clock }: FirehosePorts,
): Firehose {
  const telemetry = createFirehoseTelemetry(log, metrics, clock);
  const filter = describeFilter(options);
  const tracker = createCheckpointTracker();
  // n.b. which lists of jobs are still to be told of is known from the checkpoint on only.
  const backlog = createBacklog(filter, {
    tracker,
    note: spoolNote,
    needsCheckpoint: options.compat.includes('jobliststubs'),
    telemetry,
  });
  const { source, intake, indexWatch, jobStubs } = createReading(options, {
    spool,
    tracker,
    beforeFrames: (frames) => backlog.beforeFrames(frames),
    telemetry,
    clock,
  });
  const queueWait = createQueueWait(options.waitForQueues, { bus, telemetry, clock });
  const stopping = new AbortController();
  let publisher: SpoolPublisher | undefined;
  /** What the stored checkpoint was made with. */
  let stored = { filter, epoch: 0 };

  function currentCheckpoint(): Checkpoint | undefined {
    if (lease?.isHeld === false) return undefined;
    // n.b. what waits may not move it forward; back it may always go, and with it stays what it was made with.
    const mayMove = backlog.isConfirmed && intake.healer.mayMoveCheckpoint(tracker.position);
    if (mayMove) stored = { filter, epoch: intake.epoch };
    const confirmed = mayMove ? tracker.index(spool.last) : undefined;
    const index =
      confirmed === undefined || jobStubs === undefined ? (confirmed ?? tracker.lowered) : jobStubs.limit(confirmed);
    return index === undefined
      ? undefined
      : {
          index,
          ...stored,
          topicIndexes: intake.topicIndexes,
          source: source.address.label,
          namespacesAt: source.namespacesAt,
        };
  }
  const saver = new CheckpointSaver({ store: checkpointStore, telemetry, clock, current: currentCheckpoint });

  async function startPublishing(waiting: SpoolPublisher): Promise<void> {
    await queueWait.wait(stopping.signal);
    if (!stopping.signal.aborted) waiting.start();
  }

  spool.onFull((slowest) => {
    if (slowest !== null) telemetry.spoolFilled(spool.maxBytes);
  });

  return {
    name: 'firehose',
    healthChecks: [
      source.healthCheck,
      { name: 'publishing', check: () => publisher?.health() ?? { status: 'pass' } },
      ...queueWait.healthChecks,
      ...(jobStubs === undefined ? [] : [jobStubs.healthCheck]),
    ],
    async start(signal) {
      if (!options.redact.includes('tokens')) telemetry.tokensUnredacted();
      if (!options.redact.some((kind) => kind !== 'tokens') && options.topics.some(carriesJobs))
        telemetry.jobsUnredacted();
      await spool.open();
      const checkpoint = await loadCheckpoint({ store: checkpointStore, telemetry, clock }, signal);
      if (signal.aborted) return;
      stored = { filter: checkpoint?.filter ?? filter, epoch: checkpoint?.epoch ?? 0 };
      const cursor = spool.cursor('publisher');
      const beginning = await backlog.takeOver(cursor, checkpoint, signal);
      if (signal.aborted) return;
      publisher = new SpoolPublisher({}, { bus, cursor, tracker, lease, telemetry, clock });
      telemetry.watch(makeGauges({ publisher, cursor, spool, intake }));
      void startPublishing(publisher);
      jobStubs?.start(checkpoint?.index);
      saver.start();
      intake.begin(beginning, filter);
      source.start(beginning);
      indexWatch.start();
    },
    async stop(deadline) {
      stopping.abort();
      await jobStubs?.stop();
      await indexWatch.stop();
      await source.stop();
      await intake.healer.stop();
      const unconfirmed = await publisher?.stop(deadline);
      if (unconfirmed !== undefined) telemetry.drained({ events: unconfirmed });
      await saver.stop(deadline);
      await spool.close();
      telemetry.atRest();
    },
  };
}
