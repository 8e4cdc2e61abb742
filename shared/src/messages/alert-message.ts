/**
 * The message that announces a crash loop: how it is built and how it is read back. The body begins with the two fields
 * of nomad-crashloop-detector, so that its consumers go on unchanged. docs/schemas/crash-loop.schema.json describes it.
 */
import { HydrantError } from '../foundation/errors.ts';
import { forEachMember } from '../foundation/json-scanner.ts';
import type { Message } from './message.ts';

/** `opened`: first announcement of the loop; `ongoing`: it still loops; `resolved`: no crash came for the interval. */
export type AlertStatus = 'opened' | 'ongoing' | 'resolved';

export interface Alert {
  /** The newest crash in the form of nomad-firehose's allocations payload: JSON, already written. */
  readonly lastEvent: string;
  /** Times of the crashes in the window, RFC 3339 with nanoseconds in UTC, oldest first. */
  readonly eventLog: readonly string[];
  /** The same through the life of a loop. */
  readonly id: string;
  readonly status: AlertStatus;
  readonly cluster: string;
  readonly namespace: string;
  /** Crashes in the window. */
  readonly count: number;
  /** The window, as Go writes a duration. */
  readonly interval: string;
  readonly reasons: readonly string[];
  readonly exitCodes: readonly number[];
  readonly oomKilled: boolean;
  readonly firstCrash: string;
  /** The allocations that crashed, oldest first. */
  readonly lineage: readonly string[];
  /** A command that shows more. */
  readonly nextStep: string;
}

export interface AlertEnvelope {
  /** Stable over repeats of the same announcement. */
  readonly messageId: string;
  readonly routingKey: string;
  readonly timestampMs: number;
}

const types = {
  opened: 'crash-loop',
  ongoing: 'crash-loop',
  resolved: 'crash-loop-resolved',
} as const satisfies Record<AlertStatus, string>;
const format = 1;

export function makeAlertMessage(alert: Alert, { messageId, routingKey, timestampMs }: AlertEnvelope): Message {
  return {
    id: messageId,
    routingKey,
    type: types[alert.status],
    contentType: 'application/json',
    appId: 'hydrant-crashloop-detector',
    timestampMs,
    headers: { cluster: alert.cluster, status: alert.status, format },
    body: writeBody(alert),
  };
}

/** Throws `message-not-alert` (permanent) when the message is none, or of another format. */
export function readAlertMessage(message: Message): Alert {
  const body = parseBody(message);
  const status = readStatus(message, body);
  if (message.type !== types[status] || message.headers['format'] !== format)
    throw refuse(message, `the type ${types[status]} and the format ${format}`);
  return {
    lastEvent: rawMember(message, 'LastEvent'),
    eventLog: texts(message, body, 'EventLog'),
    id: text(message, body, 'Id'),
    status,
    cluster: text(message, body, 'Cluster'),
    namespace: text(message, body, 'Namespace'),
    count: wholeNumber(message, body, 'Count'),
    interval: text(message, body, 'Interval'),
    reasons: texts(message, body, 'Reasons'),
    exitCodes: list(message, body, 'ExitCodes').filter((code) => typeof code === 'number'),
    oomKilled: body['OOMKilled'] === true,
    firstCrash: text(message, body, 'FirstCrash'),
    lineage: texts(message, body, 'Lineage'),
    nextStep: text(message, body, 'NextStep'),
  };
}

function writeBody(alert: Alert): Buffer {
  const ours = {
    EventLog: alert.eventLog,
    Id: alert.id,
    Status: alert.status,
    Cluster: alert.cluster,
    Namespace: alert.namespace,
    Count: alert.count,
    Interval: alert.interval,
    Reasons: alert.reasons,
    ExitCodes: alert.exitCodes,
    OOMKilled: alert.oomKilled,
    FirstCrash: alert.firstCrash,
    Lineage: alert.lineage,
    NextStep: alert.nextStep,
  };
  // `lastEvent` is set in as text: a JavaScript number would round its times.
  return Buffer.from(`{"LastEvent":${alert.lastEvent},${JSON.stringify(ours).slice(1)}`);
}

function parseBody(message: Message): Readonly<Record<string, unknown>> {
  let body: unknown;
  try {
    body = JSON.parse(message.body.toString('utf8'));
  } catch (error) {
    throw refuse(message, 'a body in JSON', error);
  }
  if (typeof body !== 'object' || body === null || Array.isArray(body)) throw refuse(message, 'an object as body');
  return body as Readonly<Record<string, unknown>>;
}

/** The member as it stands in the body: its nanoseconds would not survive being parsed. */
function rawMember(message: Message, key: string): string {
  let raw: string | undefined;
  forEachMember(message.body, 0, (name, start, end) => {
    if (name === key) raw = message.body.toString('utf8', start, end);
  });
  if (raw === undefined) throw refuse(message, `\`${key}\``);
  return raw;
}

function readStatus(message: Message, body: Readonly<Record<string, unknown>>): AlertStatus {
  const status = body['Status'];
  if (status !== 'opened' && status !== 'ongoing' && status !== 'resolved')
    throw refuse(message, '`Status` opened, ongoing or resolved');
  return status;
}

function text(message: Message, body: Readonly<Record<string, unknown>>, key: string): string {
  const value = body[key];
  if (typeof value !== 'string') throw refuse(message, `a text as \`${key}\``);
  return value;
}

function wholeNumber(message: Message, body: Readonly<Record<string, unknown>>, key: string): number {
  const value = body[key];
  if (typeof value !== 'number' || !Number.isSafeInteger(value)) throw refuse(message, `a whole number as \`${key}\``);
  return value;
}

function list(message: Message, body: Readonly<Record<string, unknown>>, key: string): readonly unknown[] {
  const value: unknown = body[key];
  if (!Array.isArray(value)) throw refuse(message, `a list as \`${key}\``);
  return value;
}

function texts(message: Message, body: Readonly<Record<string, unknown>>, key: string): readonly string[] {
  return list(message, body, key).filter((value) => typeof value === 'string');
}

function refuse(message: Message, expected: string, cause?: unknown): HydrantError {
  return new HydrantError(`Expected the message "${message.id}" to be a crash-loop alert with ${expected}`, {
    code: 'message-not-alert',
    retryable: false,
    cause,
  });
}
