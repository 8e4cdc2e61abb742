/**
 * The head of one Nomad event, read from its bytes in any key order and without building the payload.
 * What the payloads hold is the business of those who need it (the detector).
 */
import { HydrantError } from '../foundation/errors.ts';
import {
  forEachElement,
  forEachMember,
  readString,
  skipSpace,
  skipValue,
  walkObject,
} from '../foundation/json-scanner.ts';

export interface EventHead {
  readonly topic: string;
  /** The raft message behind it, not the object's lifecycle: `AllocationUpdated`, `PlanResult`, … */
  readonly type: string;
  /** The object's id; empty for a deleted host volume. */
  readonly key: string;
  /** Empty for objects that live in no namespace. */
  readonly namespace: string;
  readonly filterKeys: readonly string[];
  readonly index: number;
  /** The job that the object belongs to, where it belongs to one. */
  readonly jobId?: string;
}

/** An event's head and where the event ends. */
export interface ScannedEvent {
  readonly head: EventHead;
  readonly end: number;
}

/** Topics whose first filter key is the job's id, and the payload member that holds the object. */
const payloadKeyOfJobTopics = new Map([
  ['Allocation', 'Allocation'],
  ['Evaluation', 'Evaluation'],
  ['Deployment', 'Deployment'],
  ['Service', 'Service'],
]);

const quote = 0x22;

function notAnEvent(expected: string): HydrantError {
  return new HydrantError(`Expected a Nomad event with ${expected}`, { code: 'event-malformed', retryable: false });
}

function readText(bytes: Buffer, start: number, end: number): string | undefined {
  return bytes[start] === quote ? readString(bytes, start, end) : undefined;
}

/** Reads an unsigned whole number that JavaScript can hold. */
export function readIndex(bytes: Buffer, start: number, end: number): number {
  let value = 0;
  for (let i = start; i < end; i += 1) {
    const digit = (bytes[i] ?? 0) - 0x30;
    if (digit < 0 || digit > 9) throw notAnEvent('a whole number as Index');
    value = value * 10 + digit;
  }
  if (!Number.isSafeInteger(value)) throw notAnEvent('an Index below 2^53');
  return value;
}

function readFilterKeys(bytes: Buffer, start: number): string[] {
  const keys: string[] = [];
  if (bytes[start] !== 0x5b) return keys;
  forEachElement(bytes, start, (from, to) => {
    if (bytes[from] === quote) keys.push(readString(bytes, from, to));
  });
  return keys;
}

function readPayloadJobId(bytes: Buffer, payloadStart: number, objectKey: string): string | undefined {
  let jobId: string | undefined;
  if (bytes[payloadStart] !== 0x7b) return undefined;
  forEachMember(bytes, payloadStart, (key, start) => {
    if (key !== objectKey || bytes[start] !== 0x7b) return;
    forEachMember(bytes, start, (field, from, to) => {
      if (field === 'JobID' && bytes[from] === quote) jobId = readString(bytes, from, to);
    });
  });
  return jobId;
}

function findJobId(
  bytes: Buffer,
  topic: string,
  key: string,
  filterKeys: readonly string[],
  payloadStart: number,
): string | undefined {
  if (topic === 'Job') return key;
  const objectKey = payloadKeyOfJobTopics.get(topic);
  if (objectKey === undefined) return undefined;
  const [first] = filterKeys;
  if (first !== undefined && first !== '') return first;
  return payloadStart === -1 ? undefined : readPayloadJobId(bytes, payloadStart, objectKey);
}

/**
 * Reads the event that begins at `start`, each byte once. Throws `json-malformed`, or `event-malformed` when Topic,
 * Type or Index is missing.
 */
export function scanEvent(bytes: Buffer, start: number): ScannedEvent {
  let topic: string | undefined;
  let type: string | undefined;
  let key = '';
  let namespace = '';
  let filterKeys: readonly string[] = [];
  let index: number | undefined;
  let payloadStart = -1;
  const end = walkObject(bytes, start, (name, at) => {
    const after = skipValue(bytes, at);
    if (name === 'Topic') topic = readText(bytes, at, after);
    else if (name === 'Type') type = readText(bytes, at, after);
    else if (name === 'Key') key = readText(bytes, at, after) ?? '';
    else if (name === 'Namespace') namespace = readText(bytes, at, after) ?? '';
    else if (name === 'FilterKeys') filterKeys = readFilterKeys(bytes, at);
    else if (name === 'Index') index = readIndex(bytes, at, after);
    else if (name === 'Payload') payloadStart = at;
    return after;
  });
  if (topic === undefined || type === undefined || index === undefined)
    throw notAnEvent('strings as Topic and Type, and an Index');
  const jobId = findJobId(bytes, topic, key, filterKeys, payloadStart);
  const head = { topic, type, key, namespace, filterKeys, index };
  return { head: jobId === undefined ? head : { ...head, jobId }, end };
}

/**
 * The head of the event that lies between `start` and `end`; throws as `scanEvent`, also when the event ends elsewhere.
 */
export function readEventHead(bytes: Buffer, start: number, end: number): EventHead {
  const event = scanEvent(bytes, start);
  if (skipSpace(bytes, event.end) < end) throw notAnEvent('nothing after it');
  return event.head;
}
