/**
 * The gauges of how far behind the firehose is: behind Nomad, behind what it has read, and how much longer Nomad's
 * buffer would bear with it.
 */
import type { Clock } from '@hydrant/shared/foundation/clock';
import type { Metrics } from '@hydrant/shared/runtime/telemetry/metrics';
import { PublishLag } from './publish/publish-lag.ts';
import { BufferWatch } from './source/buffer-watch.ts';
import type { IndexWatchTelemetry } from './source/index-watch.ts';

export interface LagTelemetry extends IndexWatchTelemetry {
  streamOpened(): void;
  streamEnded(): void;
  waitsForRoom(): void;
  framesRead(frames: number, newestIndex: number): void;
  confirmed(index: number): void;
  /**
   * It reads from now on, or tries to. `pending`: how many events are read and not confirmed, asked for at each scrape.
   */
  begin(pending: () => number): void;
  /** It stopped, or stands by: it is behind nothing. */
  rest(): void;
}

export function createLagTelemetry(metrics: Metrics, clock: Clock): LagTelemetry {
  const buffer = new BufferWatch(clock);
  const lag = new PublishLag(clock);
  const readIndex = metrics.gauge({ name: 'hydrant_firehose_read_index', help: 'Index of the newest frame read' });
  const nomadIndex = metrics.gauge({
    name: 'hydrant_firehose_nomad_index',
    help: "Newest index that Nomad's lists of the topics tell of; asked for every 30 s",
  });
  const watchLag = (read: () => number): void => {
    metrics.gauge({
      name: 'hydrant_firehose_lag_seconds',
      help: 'Age of the oldest event that was read and is not confirmed; 0 when there is none',
      read,
    });
  };
  metrics.gauge({
    name: 'hydrant_firehose_away_seconds',
    help: 'Time for which the event stream has not been read; 0 while it is',
    read: () => buffer.awaySeconds,
  });
  metrics.gauge({
    name: 'hydrant_firehose_buffer_seconds',
    help: 'Time in which Nomad forgets with event_buffer_size = 100, by the busiest of the last ten minutes; at most an hour',
    read: () => buffer.bufferSeconds,
  });
  return {
    streamOpened: () => {
      buffer.opened();
    },
    streamEnded: () => {
      buffer.ended();
    },
    waitsForRoom: () => {
      buffer.waitsForRoom();
    },
    framesRead(frames, newestIndex) {
      readIndex.set(newestIndex);
      buffer.framesRead(frames);
      lag.read(newestIndex);
    },
    confirmed: (index) => {
      lag.confirmed(index);
    },
    nomadIndexRead: (index) => {
      nomadIndex.set(index);
    },
    begin(pending) {
      buffer.ended();
      watchLag(() => lag.seconds(pending()));
    },
    rest() {
      buffer.rest();
      watchLag(() => 0);
    },
  };
}
