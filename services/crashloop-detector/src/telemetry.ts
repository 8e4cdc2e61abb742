/** What the detector tells about itself: each function does the counter and the log line. */
import { errorCode } from '@hydrant/shared/foundation/errors';
import type { Logger } from '@hydrant/shared/runtime/telemetry/logger';
import type { Metrics } from '@hydrant/shared/runtime/telemetry/metrics';
import type { AnnouncerTelemetry } from './alerts/announcer.ts';
import type { ResolverTelemetry } from './alerts/resolver.ts';
import type { Message } from '@hydrant/shared/messages/message';
import type { Decision, Place } from './ledger/ledger.ts';
import type { Input } from './read-observations.ts';

export interface DetectorTelemetry extends AnnouncerTelemetry, Omit<ResolverTelemetry, keyof AnnouncerTelemetry> {
  alertPublished(status: 'opened' | 'ongoing' | 'resolved', message: Message, place: Place): void;
  eventReceived(kind: Input['kind']): void;
  /** It goes to the dead letters. */
  eventRefused(error: unknown): void;
  /** The ledger or the destination of alerts is away. */
  eventRetried(error: unknown): void;
  decided(decision: Decision, seconds: number): void;
  /** An event tells of crashes of a task that a rule mutes. */
  crashesMuted(): void;
  /** The queue gets them in events and in nomad-firehose's messages. */
  crashesToldTwice(queue: string): void;
  /** A part of an event cannot be read, the others count. */
  partIgnored(error: unknown): void;
  /** The clock of a node is proven to be behind that of the servers. */
  clockBehind(node: string, seconds: number): void;
  /** An event that tells of a crash is done with. */
  eventSettled(): void;
}

const prefix = 'hydrant_crashloop_detector';
const toldTwice =
  "Each crash comes twice, in Nomad's event and in nomad-firehose's message, and so does each alert: " +
  'unbind the queue from `allocations`, or set `AMQP_BINDINGS=allocations` and unbind it from `event.Allocation.#`';

export interface DetectorTelemetryOptions {
  readonly metrics: Metrics;
  readonly log: Logger;
  /** What brings alerts a destination, for whoever has none. */
  readonly destinationAdvice: string;
}

/** So many nodes and loops are remembered as logged. */
const mostRemembered = 10_000;

export function createDetectorTelemetry({
  metrics,
  log,
  destinationAdvice,
}: DetectorTelemetryOptions): DetectorTelemetry {
  const meters = createMeters(metrics);
  const logged = new Set<string>();
  // A kind of trouble is logged once, and again after it went away.
  const isNews = (kind: string): boolean => !logged.has(kind) && Boolean(logged.add(kind));
  const nodes = new LoggedOnce();

  return {
    eventReceived(kind) {
      meters.events.inc(1, { outcome: kind });
      if (kind === 'foreign' && isNews('foreign'))
        log.warn('Received events of other topics, ignored: `AMQP_BINDINGS` is wider than the detector needs');
    },
    eventRefused(err) {
      meters.events.inc(1, { outcome: 'refused' });
      if (isNews(`refused ${errorCode(err) ?? ''}`))
        log.warn({ err }, 'Event refused, dead-lettered; more of this kind are counted only');
    },
    eventRetried(err) {
      meters.retries.inc();
      if (isNews('retried')) log.warn({ err }, 'Event could not be settled, will retry');
    },
    decided(decision, seconds) {
      meters.decideSeconds.observe(seconds);
      const { restarts, hidden, failures, requested } = decision.recorded;
      for (const [kind, count] of Object.entries({ restart: restarts, hidden, failure: failures, requested })) {
        if (count > 0) meters.crashes.inc(count, { kind });
      }
      if (decision.action === 'late') meters.late.inc();
      if (decision.recorded.forgotten > 0) {
        meters.forgotten.inc(decision.recorded.forgotten);
        if (isNews('forgotten'))
          log.warn('Ledger is full, the lineages with the oldest news are forgotten: their crashes are counted anew');
      }
    },
    crashesMuted() {
      meters.muted.inc();
    },
    partIgnored(err) {
      meters.ignored.inc();
      if (isNews('ignored'))
        log.warn({ err }, 'Part of an event cannot be read, the rest of it counts; more are counted only');
    },
    clockBehind(node, seconds) {
      if (nodes.add(node))
        log.warn(
          { node, seconds: Math.round(seconds) },
          'Clock of a node is behind that of the servers: its crashes are shown too early, check its time synchronisation',
        );
    },
    crashesToldTwice: (queue) => {
      log.warn({ queue }, toldTwice);
    },
    eventSettled() {
      logged.delete('retried');
    },
    ...createAlertTelemetry(meters, log, {
      isNews,
      forget: (kind) => {
        logged.delete(kind);
      },
      destinationAdvice,
    }),
  };
}

type AlertTelemetry = Pick<
  DetectorTelemetry,
  'alertPublished' | 'alertUnrouted' | 'loopSilent' | 'resolvedRefused' | 'resolvedRetried' | 'ledgerSized'
>;

interface AlertLogging {
  /** Of a kind of trouble: true the first time, and again after `forget`. */
  isNews(this: void, kind: string): boolean;
  forget(this: void, kind: string): void;
  readonly destinationAdvice: string;
}

function createAlertTelemetry(
  meters: ReturnType<typeof createMeters>,
  log: Logger,
  { isNews, forget, destinationAdvice }: AlertLogging,
): AlertTelemetry {
  const unrouted = new LoggedOnce();
  return {
    alertPublished(status, message, { namespace, job, group, task }) {
      meters.alerts.inc(1, { status });
      log.info(
        { alert: message.id, status, namespace, job, group, task, routingKey: message.routingKey },
        status === 'resolved' ? 'End of a crash loop announced' : 'Crash loop announced',
      );
      if (status === 'resolved') forget('resolved retried');
    },
    loopSilent({ alertId, place: { namespace, job, group, task } }) {
      log.warn(
        { alert: alertId, namespace, job, group, task },
        'Crash loop ended because nothing was heard of it for very long: its job is gone, or its events are missing',
      );
    },
    resolvedRefused(message, err) {
      meters.unresolved.inc();
      log.error({ err, alert: message.id }, 'End of a crash loop was refused for good, nobody hears of it');
    },
    resolvedRetried(err) {
      meters.retries.inc();
      if (isNews('resolved retried')) log.warn({ err }, 'End of a crash loop could not be announced, will retry');
    },
    ledgerSized({ lineages, openLoops }) {
      meters.lineages.set(lineages);
      meters.openLoops.set(openLoops);
    },
    alertUnrouted(status, message, { namespace, job, group, task }) {
      meters.unrouted.inc();
      meters.alerts.inc(1, { status });
      const [alert = ''] = message.id.split('/');
      if (status === 'resolved' || !unrouted.add(alert)) return;
      log.warn(
        { alert, status, namespace, job, group, task, routingKey: message.routingKey },
        `Crash loop, and nobody is told of it: ${destinationAdvice}`,
      );
    },
  };
}

/** Remembers the newest. */
class LoggedOnce {
  readonly #names = new Set<string>();

  /** False when it was added before. */
  add(name: string): boolean {
    if (this.#names.has(name)) return false;
    this.#names.add(name);
    const [oldest] = this.#names;
    if (this.#names.size > mostRemembered && oldest !== undefined) this.#names.delete(oldest);
    return true;
  }
}

function createMeters(metrics: Metrics) {
  return {
    events: metrics.counter({
      name: `${prefix}_events_total`,
      help: 'Messages received, by what they turned out to be',
      labels: ['outcome'],
    }),
    crashes: metrics.counter({
      name: `${prefix}_crashes_total`,
      help: 'Restarts and failures recorded; requested ones are not counted as crashes',
      labels: ['kind'],
    }),
    alerts: metrics.counter({
      name: `${prefix}_alerts_total`,
      help: 'Alerts that the destination took',
      labels: ['status'],
    }),
    unrouted: metrics.counter({ name: `${prefix}_unrouted_alerts_total`, help: 'Alerts that no queue received' }),
    unresolved: metrics.counter({
      name: `${prefix}_refused_resolved_alerts_total`,
      help: 'Ends of crash loops that the destination refused for good',
    }),
    lineages: metrics.gauge({ name: `${prefix}_lineages`, help: 'Lineages that the ledger knows' }),
    openLoops: metrics.gauge({ name: `${prefix}_open_loops`, help: 'Crash loops that have not ended' }),
    forgotten: metrics.counter({
      name: `${prefix}_forgotten_lineages_total`,
      help: 'Lineages that made room for others',
    }),
    muted: metrics.counter({
      name: `${prefix}_muted_total`,
      help: 'Events that tell of crashes of a task that a rule mutes, per task',
    }),
    ignored: metrics.counter({
      name: `${prefix}_ignored_parts_total`,
      help: 'Tasks and task events in allocation events that could not be read',
    }),
    late: metrics.counter({ name: `${prefix}_late_loops_total`, help: 'Crash loops known too late to be announced' }),
    retries: metrics.counter({
      name: `${prefix}_retries_total`,
      help: 'Events tried again because the ledger or the destination of alerts was away',
    }),
    decideSeconds: metrics.histogram({
      name: `${prefix}_decide_seconds`,
      help: 'Time the ledger took to record and decide',
      buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5],
    }),
  };
}
