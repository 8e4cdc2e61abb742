/** Every counter, gauge and log line of the firehose: one function per occurrence. Nothing here is logged per event. */
import type { Clock } from '@hydrant/shared/foundation/clock';
import type { Logger } from '@hydrant/shared/runtime/telemetry/logger';
import type { Metrics } from '@hydrant/shared/runtime/telemetry/metrics';
import type { CheckpointTelemetry } from './checkpoint/saver.ts';
import { gapReasons } from './gap/decide-gap.ts';
import type { PublisherTelemetry } from './publish/publisher.ts';
import type { SourceTelemetry } from './source/source.ts';

/** What is asked for at each scrape. */
export interface FirehoseGauges {
  unconfirmed(): number;
  spoolEvents(): number;
  spoolBytes(): number;
  secondsSinceFrame(): number;
}

export interface FirehoseTelemetry extends SourceTelemetry, PublisherTelemetry, CheckpointTelemetry {
  spoolFilled(maxBytes: number): void;
  drained(left: { readonly events: number }): void;
  watch(gauges: FirehoseGauges): void;
}

function sourceTelemetry(log: Logger, metrics: Metrics, readIndex: { set(index: number): void }): SourceTelemetry {
  const bytes = metrics.counter({ name: 'hydrant_firehose_bytes_received_total', help: 'Bytes read from the event stream' });
  const frames = metrics.counter({ name: 'hydrant_firehose_frames_received_total', help: 'Frames read from the event stream' });
  const events = metrics.counter({ name: 'hydrant_firehose_events_received_total', help: 'Events read from the event stream, repeats after a resume included' });
  const reconnects = metrics.counter({ name: 'hydrant_firehose_reconnects_total', help: 'Ends of the event stream, each followed by a new connection' });
  const connected = metrics.gauge({ name: 'hydrant_firehose_connected', help: '1 while the event stream is open' });
  const gaps = metrics.counter({ name: 'hydrant_firehose_gaps_total', help: 'Times at which frames may be missing, by reason', labels: ['reason'] });
  const malformed = metrics.counter({ name: 'hydrant_firehose_malformed_lines_total', help: 'Lines that were no frame, by kind', labels: ['kind'] });
  const seenKinds = new Set<string>();
  // A series that begins at its first increase is not seen to increase.
  for (const reason of [...gapReasons, 'malformed-line']) gaps.inc(0, { reason });
  return {
    bytesReceived: (count) => { bytes.inc(count); },
    framesReceived(frameCount, eventCount, newestIndex) {
      frames.inc(frameCount);
      events.inc(eventCount);
      readIndex.set(newestIndex);
    },
    streamConnected({ address, resumedAt }) {
      connected.set(1);
      log.info({ address, resumedAt }, 'Reading the event stream');
    },
    streamEnded({ address, wasOpen, hadLines, retryMs, err }) {
      connected.set(0);
      reconnects.inc();
      if (wasOpen && !hadLines && err === undefined) {
        log.warn({ address, retryMs }, 'Nomad answered 200 and ended the stream without a line: most likely the token may not read all topics in all namespaces; will retry');
      } else if (err === undefined) log.info({ address, retryMs }, 'The event stream ended, will resume');
      else log.warn({ address, retryMs, err }, wasOpen ? 'The event stream broke, will resume' : 'Nomad cannot be reached, will retry');
    },
    gapFound({ reason, fromIndex, toIndex }) {
      gaps.inc(1, { reason });
      log.warn({ reason, fromIndex, toIndex }, 'Frames of the event stream may be missing');
    },
    lineMalformed({ kind, afterIndex, willReread, err }) {
      malformed.inc(1, { kind });
      if (seenKinds.has(kind)) return;
      seenKinds.add(kind);
      log.error({ kind, afterIndex, err }, willReread ? 'A line of the stream is no frame, will read it again' : 'A line of the stream is no frame, skipped it');
    },
    eventMalformed(index) {
      malformed.inc(1, { kind: 'event' });
      if (seenKinds.has('event')) return;
      seenKinds.add('event');
      log.error({ kind: 'event', index }, 'An event lacks Topic, Type or Index, forwarded it as it came');
    },
  };
}

function publisherTelemetry(log: Logger, metrics: Metrics): PublisherTelemetry {
  const confirmed = metrics.counter({ name: 'hydrant_firehose_events_published_total', help: 'Events that the bus took responsibility for' });
  const unrouted = metrics.counter({ name: 'hydrant_firehose_unrouted_total', help: 'Events that no queue was bound for when they were published' });
  const failures = metrics.counter({ name: 'hydrant_firehose_publish_failures_total', help: 'Times at which publishing stopped to go back and try again' });
  const dropped = metrics.counter({ name: 'hydrant_firehose_events_dropped_total', help: 'Events that the bus can never take, by reason', labels: ['reason'] });
  const confirmedIndex = metrics.gauge({ name: 'hydrant_firehose_confirmed_index', help: 'Index of the event confirmed last' });
  return {
    eventConfirmed(result, index) {
      confirmed.inc();
      confirmedIndex.set(index);
      if (result === 'unrouted') unrouted.inc();
    },
    publishFailed({ unconfirmed, isRepeat, err }) {
      failures.inc();
      if (!isRepeat) log.warn({ unconfirmed, err }, 'Publishing failed, will go on at the oldest unconfirmed event');
    },
    eventDropped({ id, bytes, err }) {
      dropped.inc(1, { reason: 'bus-message-invalid' });
      log.error({ id, bytes, err }, 'The bus can never take this event, dropped it');
    },
  };
}

function checkpointTelemetry(log: Logger, metrics: Metrics): CheckpointTelemetry {
  const index = metrics.gauge({ name: 'hydrant_firehose_checkpoint_index', help: 'Index of the stored checkpoint' });
  const saves = metrics.counter({ name: 'hydrant_firehose_checkpoint_saves_total', help: 'Attempts to store the checkpoint, by outcome', labels: ['outcome'] });
  return {
    checkpointLoaded({ place, index: loaded }) {
      if (loaded !== undefined) index.set(loaded);
      log.info({ place, index: loaded }, loaded === undefined ? 'There is no checkpoint, this is the first start' : 'Going on at the stored checkpoint');
    },
    checkpointUnreadable: ({ place, err }) => { log.warn({ place, err }, 'The checkpoint cannot be read, waiting for it before reading the event stream'); },
    checkpointSaved(saved) {
      saves.inc(1, { outcome: 'saved' });
      index.set(saved);
    },
    checkpointSaveFailed({ place, isFirst, err }) {
      saves.inc(1, { outcome: 'failed' });
      if (isFirst) log.warn({ place, err }, 'The checkpoint cannot be stored, keeping it in memory and forwarding on');
    },
    checkpointSaveResumed: (place) => { log.info({ place }, 'The checkpoint is stored again'); },
    checkpointTakenOver(place) {
      saves.inc(1, { outcome: 'taken-over' });
      log.error({ place }, 'Another firehose stores this checkpoint now; stop one of the two or give them different FIREHOSE_CLUSTER names');
    },
  };
}

/** A spool at its limit fills again with every event that leaves it. */
const spoolFullQuietMs = 60_000;

export function createFirehoseTelemetry(log: Logger, metrics: Metrics, clock: Clock): FirehoseTelemetry {
  const spoolFull = metrics.counter({ name: 'hydrant_firehose_spool_full_total', help: 'Times at which reading waited for room in the spool' });
  let spoolFullSaidMs = Number.NEGATIVE_INFINITY;
  const readIndex = metrics.gauge({ name: 'hydrant_firehose_read_index', help: 'Index of the newest frame read' });
  return {
    ...sourceTelemetry(log, metrics, readIndex),
    ...publisherTelemetry(log, metrics),
    ...checkpointTelemetry(log, metrics),
    spoolFilled(maxBytes) {
      spoolFull.inc();
      if (clock.monotonic() - spoolFullSaidMs < spoolFullQuietMs) return;
      spoolFullSaidMs = clock.monotonic();
      log.warn({ maxBytes }, 'The spool is full, reading the event stream only as fast as the bus takes events');
    },
    drained({ events }) {
      if (events === 0) log.info('Published everything that was read');
      else log.warn({ events }, 'Stopping with events that are not confirmed; they are read again from the checkpoint');
    },
    watch(gauges) {
      metrics.gauge({ name: 'hydrant_firehose_unconfirmed_events', help: 'Events handed to the bus and not confirmed', read: gauges.unconfirmed });
      metrics.gauge({ name: 'hydrant_firehose_spool_events', help: 'Events read and not confirmed', read: gauges.spoolEvents });
      metrics.gauge({ name: 'hydrant_firehose_spool_bytes', help: 'Bytes in the spool', read: gauges.spoolBytes });
      metrics.gauge({ name: 'hydrant_firehose_last_frame_age_seconds', help: 'Time since the newest frame was read', read: gauges.secondsSinceFrame });
    },
  };
}
