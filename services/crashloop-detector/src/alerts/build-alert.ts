/** From what the ledger decided to the alert that says so. Pure: the same claim gives the same ids. */
import { formatDuration } from '@hydrant/shared/foundation/durations';
import { formatGoTime } from '@hydrant/shared/foundation/go-json';
import { makeAlertMessage, type Alert, type AlertStatus } from '@hydrant/shared/messages/alert-message';
import type { Message } from '@hydrant/shared/messages/message';
import { makeNextStep } from '@hydrant/shared/messages/next-step';
import type { CrashDetail } from '../crashes/extract-crashes.ts';
import type { Decision, Place, ResolvedClaim, Rule } from '../ledger/ledger.ts';

export type Announcement = Extract<Decision, { action: 'announce' }>;

const mostReasons = 20;

export interface Envelope {
  /** May hold `{namespace}` and `{job}`. */
  readonly routingKey: string;
  readonly timestampMs: number;
}

export interface AlertContext extends Envelope {
  readonly place: Place;
  readonly rule: Rule;
}

interface AlertParts {
  readonly id: string;
  readonly status: AlertStatus;
  readonly place: Place;
  readonly intervalMs: number;
  readonly crashes: readonly string[];
  readonly lastEvent: string;
}

export function buildAlertMessage(announcement: Announcement, context: AlertContext): Message {
  const alert = buildAlert(announcement, context);
  return makeAlertMessage(alert, {
    messageId: `${alert.id}/${announcement.claim.announcedAtUs}`,
    routingKey: fillRoutingKey(context.routingKey, context.place),
    timestampMs: context.timestampMs,
  });
}

/** The message that says that a loop has ended: the crashes are those of its last window. */
export function buildResolvedMessage(
  { alertId, place, intervalMs, crashes, lastEvent }: ResolvedClaim,
  { routingKey, timestampMs }: Envelope,
): Message {
  const alert = makeAlert({ id: alertId, status: 'resolved', place, intervalMs, crashes, lastEvent });
  return makeAlertMessage(alert, {
    messageId: `${alertId}/resolved`,
    routingKey: fillRoutingKey(routingKey, place),
    timestampMs,
  });
}

export function buildAlert({ status, claim, crashes, lastEvent }: Announcement, { place, rule }: AlertContext): Alert {
  return makeAlert({ id: claim.alertId, status, place, intervalMs: rule.intervalMs, crashes, lastEvent });
}

function makeAlert({ id, status, place, intervalMs, crashes, lastEvent }: AlertParts): Alert {
  const details = crashes.map((detail) => JSON.parse(detail) as CrashDetail);
  const newest = details.at(-1);
  const eventLog = details.map(({ time }) => formatGoTime(BigInt(time)));
  return {
    lastEvent,
    eventLog,
    id,
    status,
    cluster: place.cluster,
    namespace: place.namespace,
    count: crashes.length,
    interval: formatDuration(intervalMs),
    reasons: distinct(details.flatMap(({ reason, cause }) => (cause === undefined ? [reason] : [reason, cause]))).slice(
      0,
      mostReasons,
    ),
    exitCodes: distinct(details.flatMap(({ exitCode }) => exitCode ?? [])),
    oomKilled: details.some(({ oomKilled }) => oomKilled === true),
    firstCrash: eventLog[0] ?? '',
    lineage: distinct(details.map(({ allocation }) => allocation)),
    nextStep: newest === undefined ? '' : makeNextStep(place.namespace, newest),
  };
}

export function fillRoutingKey(template: string, { namespace, job }: Pick<Place, 'namespace' | 'job'>): string {
  return template.replaceAll('{namespace}', word(namespace)).replaceAll('{job}', word(job));
}

function word(text: string): string {
  return text.replace(/[^A-Za-z0-9_-]/gu, '_') || '_';
}

function distinct<T>(values: readonly T[]): T[] {
  return [...new Set(values)];
}
