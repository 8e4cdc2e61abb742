/** Counters and log lines of the event stream: one function per occurrence. What lasts is logged once a minute. */
import type { Clock } from '@hydrant/shared/foundation/clock';
import { errorCode } from '@hydrant/shared/foundation/errors';
import type { Logger } from '@hydrant/shared/runtime/telemetry/logger';
import type { Gauge, Metrics } from '@hydrant/shared/runtime/telemetry/metrics';
import { createRepeats, failureKind, type Repeats } from '@hydrant/shared/runtime/telemetry/repeats';
import type { LagTelemetry } from '../lag-telemetry.ts';
import { denialCauses } from './denial.ts';
import type { LikelyTimeout } from './likely-timeout.ts';
import type { NamespaceWatchTelemetry } from './namespaces.ts';
import { nomadFailureCodes } from './nomad-failure.ts';
import type { StreamReaderTelemetry } from './read-stream.ts';
import type { SourceTelemetry } from './source.ts';

const failureReasons = [
  ...nomadFailureCodes,
  'nomad-foreign',
  'nomad-index-went-back',
  'spool-full',
  'spool-unavailable',
  'other',
] as const;

export function makeConnectedGauge(metrics: Metrics): Gauge {
  return metrics.gauge({ name: 'hydrant_firehose_connected', help: '1 while the event stream is open' });
}

type PermissionTelemetry = Pick<SourceTelemetry, 'streamDenied' | 'streamUnanswered'> & NamespaceWatchTelemetry;

function permissionTelemetry(log: Logger, metrics: Metrics): PermissionTelemetry {
  const denials = metrics.counter({
    name: 'hydrant_firehose_denials_total',
    help: 'Times at which Nomad refused the event stream, by what its lists say',
    labels: ['cause'],
  });
  const watchFailures = metrics.counter({
    name: 'hydrant_firehose_namespace_watch_failures_total',
    help: 'Times at which the list of namespaces could not be read',
  });
  for (const cause of denialCauses) denials.inc(0, { cause });
  return {
    streamDenied({ address, cause, reason, isRepeat }) {
      denials.inc(1, { cause });
      if (isRepeat) return;
      // A server that is stopping looks the same and heals itself; a list that is refused does not.
      if (cause === 'refused')
        log.error({ address, reason }, 'Nomad refuses the event stream, will retry; give the token what it lacks');
      else
        log.warn(
          { address, reason },
          'Nomad ended the event stream without a line, as it does to refuse it; will retry',
        );
    },
    streamUnanswered({ address, waitedMs, nextMs, isRepeat }) {
      if (isRepeat) return;
      const text =
        'Closed an event stream on which no line had come, though no list is refused: ' +
        'Nomad up to 1.1.0 says nothing while its buffer is empty, and a proxy in between that buffers answers holds lines back (nginx: proxy_buffering off)';
      log.warn({ address, waitedSeconds: waitedMs / 1000, nextSeconds: nextMs / 1000 }, text);
    },
    namespaceWatchFailed({ address, isRepeat, err }) {
      watchFailures.inc();
      if (!isRepeat)
        log.warn(
          { address, err },
          'The list of namespaces cannot be read; until it can, a new namespace is read only after the next reconnect',
        );
    },
  };
}

function lineTelemetry(
  log: Logger,
  metrics: Metrics,
  clock: Clock,
): Pick<StreamReaderTelemetry, 'lineMalformed' | 'eventMalformed'> {
  const malformed = metrics.counter({
    name: 'hydrant_firehose_malformed_lines_total',
    help: 'Lines that were no frame, by kind',
    labels: ['kind'],
  });
  const repeats = createRepeats(clock);
  return {
    lineMalformed({ kind, afterIndex, willReread, err }) {
      malformed.inc(1, { kind });
      const times = repeats.count(`${kind} ${String(willReread)}`);
      if (times === undefined) return;
      log.error(
        { kind, afterIndex, times, err },
        willReread
          ? 'A line of the stream is no frame, will read it again'
          : 'A line of the stream is no frame, skipped it',
      );
    },
    eventMalformed(index) {
      malformed.inc(1, { kind: 'event' });
      const times = repeats.count('event');
      if (times !== undefined)
        log.error(
          { kind: 'event', index, times },
          'An event is no object with Topic, Type and Index, forwarded it as it came',
        );
    },
  };
}

const timeoutText: Readonly<Record<LikelyTimeout['kind'], string>> = {
  idle: 'The event stream ends whenever it was quiet for so long, as by a proxy in between: set its idle timeout above the 30 s after which Nomad sends a heartbeat',
  age: 'The event stream ends at the same age each time, as by a proxy in between that limits how long a connection lasts: raise that limit',
};

/** `repeats` of ends, and of what keeps a stream from being opened. */
function logEnd(
  log: Logger,
  { broken, unopened }: { readonly broken: Repeats; readonly unopened: Repeats },
  end: Parameters<SourceTelemetry['streamEnded']>[0],
): boolean {
  const { address, wasOpen, hadLines, retryMs, err } = end;
  if (err === undefined && wasOpen && !hadLines) return false;
  const times = (wasOpen ? broken : unopened).count(`${address} ${failureKind(err)}`);
  const fields = { address, retryMs, ...(times === undefined || times === 1 ? {} : { times }) };
  const text =
    err === undefined
      ? 'The event stream ended, will resume'
      : wasOpen
        ? 'The event stream broke, will resume'
        : 'The event stream cannot be opened, will retry';
  const level = times === undefined ? 'debug' : err === undefined ? 'info' : 'warn';
  log[level](err === undefined ? fields : { ...fields, err }, text);
  return times !== undefined;
}

type ConnectionTelemetry = Pick<SourceTelemetry, 'streamConnected' | 'streamEnded' | 'namespacesAdded' | 'streamLags'>;

function connectionTelemetry(log: Logger, metrics: Metrics, lag: LagTelemetry, clock: Clock): ConnectionTelemetry {
  const reconnects = metrics.counter({
    name: 'hydrant_firehose_reconnects_total',
    help: 'Ends of the event stream, each followed by a new connection',
  });
  const failures = metrics.counter({
    name: 'hydrant_firehose_stream_failures_total',
    help: 'Event streams that could not be opened or broke, by error code',
    labels: ['reason'],
  });
  const connected = makeConnectedGauge(metrics);
  const repeats = { broken: createRepeats(clock), unopened: createRepeats(clock) };
  /** The end before was an old story, and so is the beginning after it. */
  let isOldStory = false;
  // A series that begins at its first increase is not seen to increase.
  for (const reason of failureReasons) failures.inc(0, { reason });
  return {
    streamConnected({ address, resumedAt }) {
      connected.set(1);
      lag.streamOpened();
      repeats.unopened.forget();
      log[isOldStory ? 'debug' : 'info']({ address, resumedAt }, 'Reading the event stream');
    },
    streamEnded(end) {
      connected.set(0);
      lag.streamEnded();
      reconnects.inc();
      if (end.err !== undefined)
        failures.inc(1, { reason: failureReasons.find((reason) => reason === errorCode(end.err)) ?? 'other' });
      isOldStory = !logEnd(log, repeats, end) && end.hadLines;
      if (end.likelyTimeout !== undefined)
        log.warn({ address: end.address, seconds: end.likelyTimeout.seconds }, timeoutText[end.likelyTimeout.kind]);
    },
    namespacesAdded({ address, namespaces, resumeAt }) {
      connected.set(0);
      lag.streamEnded();
      reconnects.inc();
      log.info(
        { address, namespaces, resumeAt },
        'There are new namespaces, opening the event stream again to read them too',
      );
    },
    streamLags({ resumedAt, firstIndex }) {
      log.info({ resumedAt, firstIndex }, 'This server is behind the checkpoint, skipping what it sends up to there');
    },
  };
}

export function createSourceTelemetry(
  log: Logger,
  metrics: Metrics,
  lag: LagTelemetry,
  clock: Clock,
): SourceTelemetry & NamespaceWatchTelemetry {
  const bytes = metrics.counter({
    name: 'hydrant_firehose_bytes_received_total',
    help: 'Bytes read from the event stream',
  });
  const frames = metrics.counter({
    name: 'hydrant_firehose_frames_received_total',
    help: 'Frames read from the event stream',
  });
  const events = metrics.counter({
    name: 'hydrant_firehose_events_received_total',
    help: 'Events read from the event stream, repeats after a resume included',
  });
  return {
    ...permissionTelemetry(log, metrics),
    ...lineTelemetry(log, metrics, clock),
    ...connectionTelemetry(log, metrics, lag, clock),
    bytesReceived: (count) => {
      bytes.inc(count);
    },
    framesReceived(frameCount, eventCount, newestIndex) {
      frames.inc(frameCount);
      events.inc(eventCount);
      lag.framesRead(frameCount, newestIndex);
    },
  };
}
