/**
 * The firehose, wired: source → messages → spool → publisher → bus, with the checkpoint behind. It knows ports only, so that standalone runs the
 * same parts on a bus, a spool and a checkpoint of its own.
 */
import type { Bus } from '@hydrant/shared/bus/bus';
import type { Clock } from '@hydrant/shared/foundation/clock';
import type { Message } from '@hydrant/shared/messages/message';
import type { HealthCheck } from '@hydrant/shared/runtime/admin/health';
import type { Component } from '@hydrant/shared/runtime/component';
import type { Logger } from '@hydrant/shared/runtime/telemetry/logger';
import type { Metrics } from '@hydrant/shared/runtime/telemetry/metrics';
import type { Spool } from '@hydrant/shared/spool/spool';
import type { Checkpoint, CheckpointStore } from './checkpoint/checkpoint-store.ts';
import { loadCheckpoint } from './checkpoint/load-checkpoint.ts';
import { CheckpointSaver } from './checkpoint/saver.ts';
import { createCheckpointTracker } from './checkpoint/tracker.ts';
import { createFrameMessages } from './message/frame-messages.ts';
import { Publisher } from './publish/publisher.ts';
import type { NomadAddress } from './source/address.ts';
import { createStreamOpener, describeFilter, type NomadAccess, type StreamQuery } from './source/open.ts';
import type { FrameReceiver } from './source/session.ts';
import { createSource } from './source/source.ts';
import { createFirehoseTelemetry } from './telemetry.ts';

export interface FirehoseOptions extends StreamQuery {
  /** The name the user gives this Nomad. */
  readonly cluster: string;
  readonly addresses: readonly NomadAddress[];
  readonly access: NomadAccess;
  readonly start: 'oldest' | 'now';
}

export interface FirehosePorts {
  readonly bus: Pick<Bus, 'publish'>;
  /** The firehose's own: it opens and closes it. */
  readonly spool: Spool;
  readonly checkpointStore: CheckpointStore;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly clock: Clock;
}

export interface Firehose extends Component {
  readonly healthChecks: readonly HealthCheck[];
}

/** What stands for an unset FIREHOSE_REGION in checkpoints and headers. */
export function regionName(region: string): string {
  return region === '' ? 'default' : region;
}

export function createFirehose(options: FirehoseOptions, { bus, spool, checkpointStore, log, metrics, clock }: FirehosePorts): Firehose {
  const telemetry = createFirehoseTelemetry(log, metrics, clock);
  const filter = describeFilter(options);
  const messages = createFrameMessages(options.cluster, regionName(options.region));
  const tracker = createCheckpointTracker();
  let lastFrameMs = clock.monotonic();
  let publisher: Publisher | undefined;

  const receiver: FrameReceiver = {
    streamOpened: messages.streamOpened,
    async receive(frames, signal) {
      lastFrameMs = clock.monotonic();
      const timestampMs = clock.now();
      const made: Message[] = [];
      for (const frame of frames) made.push(...messages.make(frame, timestampMs));
      if (made.length > 0) await spool.append(made, signal);
    },
  };
  const source = createSource(options, { openStream: createStreamOpener(options.access, options), receiver, telemetry, clock });

  function currentCheckpoint(): Checkpoint | undefined {
    const index = tracker.index(spool.last);
    return index === undefined ? undefined : { index, filter, source: source.address };
  }
  const saver = new CheckpointSaver({ store: checkpointStore, telemetry, clock, current: currentCheckpoint });

  spool.onFull((slowest) => {
    if (slowest !== null) telemetry.spoolFilled(spool.maxBytes);
  });

  return {
    name: 'firehose',
    healthChecks: [source.healthCheck],
    async start(signal) {
      await spool.open();
      const checkpoint = await loadCheckpoint({ store: checkpointStore, telemetry, clock }, signal);
      if (signal.aborted) return;
      const cursor = spool.cursor('publisher');
      publisher = new Publisher({}, { bus, cursor, tracker, telemetry, clock });
      telemetry.watch({
        unconfirmed: () => publisher?.unconfirmed ?? 0,
        spoolEvents: () => cursor.lag,
        spoolBytes: () => spool.bytes,
        secondsSinceFrame: () => (clock.monotonic() - lastFrameMs) / 1000,
      });
      publisher.start();
      saver.start();
      source.start({ index: checkpoint?.index, isFilterChanged: checkpoint !== undefined && checkpoint.filter !== filter });
    },
    async stop(deadline) {
      await source.stop();
      const unconfirmed = await publisher?.stop(deadline);
      if (unconfirmed !== undefined) telemetry.drained({ events: unconfirmed });
      await saver.stop(deadline);
      await spool.close();
    },
  };
}
