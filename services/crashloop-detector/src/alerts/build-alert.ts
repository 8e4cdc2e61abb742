/** From what the ledger decided to the alert that says so. Pure: the same claim gives the same ids. */
import { createHash } from 'node:crypto';
import { formatDuration } from '@hydrant/shared/foundation/durations';
import { makeAlertMessage, type Alert } from '@hydrant/shared/messages/alert-message';
import type { Message } from '@hydrant/shared/messages/message';
import type { CrashDetail } from '../crashes/extract-crashes.ts';
import type { Claim, Decision, Rule } from '../ledger/ledger.ts';
import type { Place } from '../observe.ts';
import { formatGoTime } from './go-json.ts';

export type Announcement = Extract<Decision, { action: 'announce' }>;

const mostReasons = 20;

export interface AlertContext {
  readonly place: Place;
  readonly rule: Rule;
  /** May hold `{namespace}` and `{job}`. */
  readonly routingKey: string;
  readonly timestampMs: number;
}

export function buildAlertMessage(announcement: Announcement, context: AlertContext): Message {
  const alert = buildAlert(announcement, context);
  return makeAlertMessage(alert, {
    messageId: `${alert.id}/${announcement.claim.announcedAtUs}`,
    routingKey: fillRoutingKey(context.routingKey, context.place),
    timestampMs: context.timestampMs,
  });
}

export function buildAlert({ status, claim, count, crashes, lastEvent }: Announcement, { place, rule }: AlertContext): Alert {
  const details = crashes.map((detail) => JSON.parse(detail) as CrashDetail);
  const eventLog = details.map(({ time }) => formatGoTime(BigInt(time)));
  return {
    lastEvent,
    eventLog,
    id: alertId(claim),
    status,
    cluster: place.cluster,
    namespace: place.namespace,
    count,
    interval: formatDuration(rule.intervalMs),
    reasons: distinct(details.flatMap(({ reason, cause }) => cause === undefined ? [reason] : [reason, cause])).slice(0, mostReasons),
    exitCodes: distinct(details.flatMap(({ exitCode }) => exitCode ?? [])),
    oomKilled: details.some(({ oomKilled }) => oomKilled === true),
    firstCrash: eventLog[0] ?? '',
    lineage: distinct(details.map(({ allocation }) => allocation)),
    nextStep: nextStep(place.namespace, details.at(-1)),
  };
}

/** The loop and the crash that opened it: nothing else gives the same id, and a repeat always does. */
function alertId({ loop, openedAtUs }: Claim): string {
  return createHash('sha256').update(`${loop}\n${openedAtUs}`).digest('hex').slice(0, 32);
}

/** A task that never started has no logs: then the allocation's events say why. */
function nextStep(namespace: string, newest: CrashDetail | undefined): string {
  if (newest === undefined) return '';
  const where = namespace === 'default' ? '' : ` -namespace ${namespace}`;
  if (newest.exitCode === undefined) return `nomad alloc status${where} ${newest.allocation}`;
  return `nomad alloc logs${where} -stderr ${newest.allocation} ${newest.task}`;
}

function fillRoutingKey(template: string, { namespace, job }: Place): string {
  return template.replaceAll('{namespace}', word(namespace)).replaceAll('{job}', word(job));
}

function word(text: string): string {
  return text.replace(/[^A-Za-z0-9_-]/gu, '_') || '_';
}

function distinct<T>(values: readonly T[]): T[] {
  return [...new Set(values)];
}
