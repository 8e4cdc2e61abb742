/** Every counter, gauge and log line of the firehose: one function per occurrence. Nothing here is logged per event. */
import { createUnroutedLog } from '@hydrant/shared/bus/unrouted-log';
import type { Clock } from '@hydrant/shared/foundation/clock';
import { errorCode } from '@hydrant/shared/foundation/errors';
import type { Logger } from '@hydrant/shared/runtime/telemetry/logger';
import type { Metrics } from '@hydrant/shared/runtime/telemetry/metrics';
import type { CheckpointTelemetry } from './checkpoint/saver.ts';
import { gapReasons } from './gap/decide-gap.ts';
import type { IntakeTelemetry } from './intake.ts';
import { listRemedy } from './lists/patience.ts';
import { createLagTelemetry, type LagTelemetry } from './lag-telemetry.ts';
import type { IndexWatchTelemetry } from './source/index-watch.ts';
import type { NamespaceWatchTelemetry } from './source/namespaces.ts';
import { compatResources, type CompatTelemetry } from './nomad-firehose/compat-messages.ts';
import type { PublisherTelemetry } from './publish/spool-publisher.ts';
import type { JobStubTelemetry } from './nomad-firehose/job-stubs.ts';
import type { QueueWaitTelemetry } from './publish/queue-wait.ts';
import type { BacklogTelemetry } from './spool/backlog.ts';
import { createSourceTelemetry, makeConnectedGauge } from './source/source-telemetry.ts';
import type { SourceTelemetry } from './source/source.ts';

/** What is asked for at each scrape. */
export interface FirehoseGauges {
  unconfirmed(): number;
  spoolEvents(): number;
  spoolBytes(): number;
  secondsSinceFrame(): number;
  /** 1 or 0. */
  isHealing(): number;
}

export interface FirehoseTelemetry
  extends
    SourceTelemetry,
    NamespaceWatchTelemetry,
    IndexWatchTelemetry,
    IntakeTelemetry,
    PublisherTelemetry,
    CheckpointTelemetry,
    CompatTelemetry,
    JobStubTelemetry,
    QueueWaitTelemetry,
    BacklogTelemetry {
  spoolFilled(maxBytes: number): void;
  /** Jobs are read, and FIREHOSE_REDACT names nothing that jobs carry. */
  jobsUnredacted(): void;
  /** FIREHOSE_REDACT is `none`. */
  tokensUnredacted(): void;
  drained(left: { readonly events: number }): void;
  watch(gauges: FirehoseGauges): void;
  /** It has stopped, and the process may go on. */
  atRest(): void;
}

/** What lasts is logged again after so long, not each time. */
const quietMs = 60_000;

function intakeTelemetry(log: Logger, metrics: Metrics): Omit<IntakeTelemetry, 'nodeCopiesLeftOut'> {
  const gaps = metrics.counter({
    name: 'hydrant_firehose_gaps_total',
    help: 'Times at which frames are or may be missing, by reason',
    labels: ['reason'],
  });
  const healed = metrics.counter({
    name: 'hydrant_firehose_snapshot_events_total',
    help: 'Objects published from the lists because the stream did not show them',
  });
  const failures = metrics.counter({
    name: 'hydrant_firehose_list_failures_total',
    help: 'Lists that could not be read and are tried again',
  });
  const unhealed = metrics.counter({
    name: 'hydrant_firehose_unhealed_topics_total',
    help: 'Topics that a healing had to leave out: what was missed of them is lost',
  });
  // A series that begins at its first increase is not seen to increase.
  for (const reason of gapReasons) gaps.inc(0, { reason });
  return {
    gapFound({ reason, fromIndex, toIndex }) {
      gaps.inc(1, { reason });
      log.warn({ reason, fromIndex, toIndex }, 'The event stream has a gap, healing it from the lists');
    },
    gapDisproved: (index) => {
      log.info({ index }, 'The frame that was asked for came late: there is no gap, healing ends');
    },
    healStarted(plan) {
      log.info({ since: Object.fromEntries(plan) }, 'Reading the lists for what changed since');
    },
    listFailed({ topic, isFirst, err }) {
      failures.inc();
      const what =
        errorCode(err)?.startsWith('spool-') === true ? 'What a list shows cannot be kept' : 'A list cannot be read';
      if (isFirst) log.warn({ topic, err }, `${what}, will retry; the checkpoint waits for it`);
    },
    topicsUnhealed(topics, { err, isRepeat }) {
      unhealed.inc(topics.length);
      if (isRepeat) return;
      if (err === undefined)
        log.error({ topics }, 'What was missed of these topics is lost: Nomad has no list that gives it back');
      else
        log.error(
          { topics, err, remedy: listRemedy(err) },
          'What was missed of these topics is lost: their list cannot be read, and is waited for no longer',
        );
    },
    healEnded({ events, ms }) {
      healed.inc(events);
      log.info(
        { events, seconds: Math.round(ms) / 1000 },
        'Healed from the lists, but for what they cannot tell: what was deleted and the states in between',
      );
    },
  };
}

function publisherTelemetry(log: Logger, metrics: Metrics, lag: LagTelemetry, clock: Clock): PublisherTelemetry {
  const confirmed = metrics.counter({
    name: 'hydrant_firehose_events_published_total',
    help: 'Events that the bus took responsibility for, and messages in the form of nomad-firehose',
  });
  const unrouted = metrics.counter({
    name: 'hydrant_firehose_unrouted_total',
    help: 'Events that no queue was bound for when they were published',
  });
  const failures = metrics.counter({
    name: 'hydrant_firehose_publish_failures_total',
    help: 'Times at which publishing stopped to go back and try again',
  });
  const dropped = metrics.counter({
    name: 'hydrant_firehose_events_dropped_total',
    help: 'Events that the bus can never take, by reason',
    labels: ['reason'],
  });
  // A series that begins at its first increase is not seen to increase.
  dropped.inc(0, { reason: 'bus-message-invalid' });
  const confirmedIndex = metrics.gauge({
    name: 'hydrant_firehose_confirmed_index',
    help: 'Index of the event confirmed last',
  });
  let failureSaidMs = Number.NEGATIVE_INFINITY;
  const unroutedLog = createUnroutedLog(clock, (facts) => {
    log.warn(facts, 'No queue is bound for what is published, nobody will see it; bind one to its routing key');
  });
  function noteUnrouted(routingKey: string): void {
    unrouted.inc();
    unroutedLog.note(routingKey);
  }
  return {
    eventConfirmed(result, index, routingKey) {
      confirmed.inc();
      if (index !== undefined) {
        confirmedIndex.set(index);
        lag.confirmed(index);
      }
      if (result === 'unrouted') noteUnrouted(routingKey);
    },
    publishFailed({ unconfirmed, isRepeat, err }) {
      failures.inc();
      if (isRepeat && clock.monotonic() - failureSaidMs < quietMs) return;
      failureSaidMs = clock.monotonic();
      log.warn({ unconfirmed, err }, 'Publishing failed, will go on at the oldest unconfirmed event');
    },
    eventDropped({ id, bytes, err }) {
      dropped.inc(1, { reason: 'bus-message-invalid' });
      log.error({ id, bytes, err }, 'The bus can never take this event, dropped it');
    },
  };
}

function checkpointTelemetry(log: Logger, metrics: Metrics): CheckpointTelemetry {
  const index = metrics.gauge({ name: 'hydrant_firehose_checkpoint_index', help: 'Index of the stored checkpoint' });
  const saves = metrics.counter({
    name: 'hydrant_firehose_checkpoint_saves_total',
    help: 'Attempts to store the checkpoint, by outcome',
    labels: ['outcome'],
  });
  return {
    checkpointLoaded({ place, index: loaded, source }) {
      if (loaded !== undefined) index.set(loaded);
      log.info(
        { place, index: loaded, source },
        loaded === undefined ? 'There is no checkpoint, this is the first start' : 'Going on at the stored checkpoint',
      );
    },
    checkpointUnreadable: ({ place, err }) => {
      log.warn({ place, err }, 'The checkpoint cannot be read, waiting for it before reading the event stream');
    },
    checkpointSaved(saved) {
      saves.inc(1, { outcome: 'saved' });
      index.set(saved);
    },
    checkpointSaveFailed({ place, isFirst, err }) {
      saves.inc(1, { outcome: 'failed' });
      if (isFirst) log.warn({ place, err }, 'The checkpoint cannot be stored, keeping it in memory and forwarding on');
    },
    checkpointSaveResumed: (place) => {
      log.info({ place }, 'The checkpoint is stored again');
    },
    checkpointTakenOver(place) {
      saves.inc(1, { outcome: 'taken-over' });
      log.error(
        { place },
        'Another firehose stores this checkpoint now; stop one of the two or give them different FIREHOSE_CLUSTER names',
      );
    },
  };
}

function compatTelemetry(log: Logger, metrics: Metrics): CompatTelemetry & JobStubTelemetry {
  const messages = metrics.counter({
    name: 'hydrant_firehose_compat_messages_total',
    help: 'Messages made in the form of nomad-firehose, by resource',
    labels: ['resource'],
  });
  const failures = metrics.counter({
    name: 'hydrant_firehose_compat_failures_total',
    help: 'Messages that could not be made in the form of nomad-firehose, by resource',
    labels: ['resource'],
  });
  const saidOf = new Set<string>();
  for (const resource of compatResources) failures.inc(0, { resource });
  return {
    jobListGivenUp(err) {
      failures.inc(1, { resource: 'jobliststubs' });
      log.error(
        { err, remedy: listRemedy(err) },
        'The list of jobs cannot be read: no jobliststubs are made until it can, and the checkpoint waits no longer',
      );
    },
    jobListFailed: (err) => {
      log.warn({ err }, 'The list of jobs cannot be read, jobliststubs and the checkpoint wait for it');
    },
    compatMade: (resource, count) => {
      messages.inc(count, { resource });
    },
    compatFailed({ resource, event, err }) {
      failures.inc(1, { resource });
      if (saidOf.has(resource)) return;
      saidOf.add(resource);
      log.error(
        { resource, event, err },
        'An event cannot be told in the form of nomad-firehose; the event itself is published',
      );
    },
  };
}

const restingGauges: FirehoseGauges = {
  unconfirmed: () => 0,
  spoolEvents: () => 0,
  spoolBytes: () => 0,
  secondsSinceFrame: () => 0,
  isHealing: () => 0,
};

function watchGauges(metrics: Metrics, gauges: FirehoseGauges): void {
  metrics.gauge({
    name: 'hydrant_firehose_unconfirmed_events',
    help: 'Events handed to the bus and not confirmed',
    read: gauges.unconfirmed,
  });
  metrics.gauge({
    name: 'hydrant_firehose_spool_events',
    help: 'Events read and not confirmed',
    read: gauges.spoolEvents,
  });
  metrics.gauge({ name: 'hydrant_firehose_spool_bytes', help: 'Bytes in the spool', read: gauges.spoolBytes });
  metrics.gauge({
    name: 'hydrant_firehose_healing',
    help: '1 while a gap is being healed; the checkpoint waits for it',
    read: gauges.isHealing,
  });
  metrics.gauge({
    name: 'hydrant_firehose_last_frame_age_seconds',
    help: 'Time since the newest frame was read',
    read: gauges.secondsSinceFrame,
  });
}

export function createFirehoseTelemetry(log: Logger, metrics: Metrics, clock: Clock): FirehoseTelemetry {
  const spoolFull = metrics.counter({
    name: 'hydrant_firehose_spool_full_total',
    help: 'Times at which reading waited for room in the spool',
  });
  const nodeCopies = metrics.counter({
    name: 'hydrant_firehose_node_copies_left_out_total',
    help: 'Node events that FIREHOSE_NODE_UPDATES=changes did not publish',
  });
  let spoolFullSaidMs = Number.NEGATIVE_INFINITY;
  const lag = createLagTelemetry(metrics, clock);
  return {
    ...createSourceTelemetry(log, metrics, lag, clock),
    ...intakeTelemetry(log, metrics),
    ...publisherTelemetry(log, metrics, lag, clock),
    ...checkpointTelemetry(log, metrics),
    nomadIndexRead: (index) => {
      lag.nomadIndexRead(index);
    },
    nodeCopiesLeftOut: (events) => {
      nodeCopies.inc(events);
    },
    ...compatTelemetry(log, metrics),
    spoolFilled(maxBytes) {
      spoolFull.inc();
      lag.waitsForRoom();
      // A spool at its limit fills again with every event that leaves it.
      if (clock.monotonic() - spoolFullSaidMs < quietMs) return;
      spoolFullSaidMs = clock.monotonic();
      log.warn({ maxBytes }, 'The spool is full, reading the event stream only as fast as the bus takes events');
    },
    backlogFound: ({ events, resumeAt }) => {
      log.info({ events, resumeAt }, 'Publishing what the spool has kept');
    },
    tokensUnredacted() {
      log.warn(
        'Events carry the tokens that Nomad puts into them, such as identities of allocations and secret ids, as they are, because FIREHOSE_REDACT is none',
      );
    },
    jobsUnredacted() {
      log.warn(
        'Job events carry env, templates, meta, driver config and dispatch payloads as they are; FIREHOSE_REDACT removes what the readers of the queues may not see',
      );
    },
    queuesMissing: (queues) => {
      log.warn(
        { queues },
        'Queues that FIREHOSE_WAIT_FOR_QUEUES names do not exist; reading the event stream, publishing when all of them do',
      );
    },
    queuesFound: (queues) => {
      log.info({ queues }, 'The queues of FIREHOSE_WAIT_FOR_QUEUES exist, publishing');
    },
    drained({ events }) {
      if (events === 0) log.info('Published everything that was read');
      else log.warn({ events }, 'Stopping with events that are not confirmed; they are read again from the checkpoint');
    },
    watch(gauges) {
      lag.begin(gauges.spoolEvents);
      watchGauges(metrics, gauges);
    },
    atRest() {
      makeConnectedGauge(metrics).set(0);
      lag.rest();
      watchGauges(metrics, restingGauges);
    },
  };
}
