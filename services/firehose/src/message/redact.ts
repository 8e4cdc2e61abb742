/**
 * Replaces values that may be secret in the jobs that an event carries; every other byte stays as it came. It looks into jobs alone, wherever a
 * payload holds one: a node's `Meta` is nobody's secret. Keys may stand in any order and be written with escapes.
 */
import { skipValue, walkArray, walkObject } from '@hydrant/shared/foundation/json-scanner';

export const redactKinds = ['env', 'templates', 'meta', 'payload', 'config'] as const;
export type RedactKind = (typeof redactKinds)[number];

/** Whether events of the topic hold jobs. Of all others, Nomad strips the job. */
export function carriesJobs(topic: string): boolean {
  return topic === 'Job' || topic === '*';
}

/** The bytes of the event between `start` and `end`, redacted; a view of `bytes` when there was nothing to replace. Throws `json-malformed`. */
export type Redact = (bytes: Buffer, start: number, end: number) => Buffer;

/** The members whose values are replaced, at any depth of a job: groups, tasks, services and their sidecars, regions, artifacts, checks. */
const membersOfKind: Readonly<Record<RedactKind, readonly string[]>> = {
  env: ['Env'],
  templates: ['Templates'],
  meta: ['Meta', 'CanaryMeta'],
  // Only the job's own: `ParameterizedJob.Payload` says whether one is required.
  payload: [],
  config: ['Config', 'GetterOptions', 'GetterHeaders', 'Header', 'Body'],
};

/** Objects whose keys are a user's own words, which must not be taken for members of a job. */
const keyedByUsers = [...Object.values(membersOfKind).flat(), 'Volumes', 'EnvoyGatewayBindAddresses', 'TaggedAddresses', 'Policy', 'Links'];

const openBrace = 0x7b;
const openBracket = 0x5b;
const quote = 0x22;
/** The end of the key: a search is fast when it begins with a rare byte, and a quote is none. */
const jobKeyEnd = Buffer.from('Job"');
/** How an escape of an ASCII character begins: `"\u004aob"` is the same key. */
const asciiEscape = Buffer.from('\\u00');

/** A value of the same type, so that who parses it still can. True, false and null hold no secret. */
function replacementFor(first: number | undefined): Buffer | undefined {
  if (first === openBrace) return Buffer.from('{}');
  if (first === openBracket) return Buffer.from('[]');
  // n.b. valid base64, too: a payload is.
  if (first === quote) return Buffer.from('"redacted"');
  return first === 0x2d || (first !== undefined && first >= 0x30 && first <= 0x39) ? Buffer.from('0') : undefined;
}

/** Collects the pieces of one event. */
class Cutter {
  readonly #bytes: Buffer;
  readonly #pieces: Buffer[] = [];
  #at: number;

  constructor(bytes: Buffer, start: number) {
    this.#bytes = bytes;
    this.#at = start;
  }

  /** Replaces the value that begins at `start`; returns the index after it. */
  replace(start: number): number {
    const end = skipValue(this.#bytes, start);
    const replacement = replacementFor(this.#bytes[start]);
    if (replacement === undefined) return end;
    this.#pieces.push(this.#bytes.subarray(this.#at, start), replacement);
    this.#at = end;
    return end;
  }

  result(end: number): Buffer {
    const rest = this.#bytes.subarray(this.#at, end);
    return this.#pieces.length === 0 ? rest : Buffer.concat([...this.#pieces, rest]);
  }
}

export function createRedact(kinds: readonly RedactKind[]): Redact {
  if (kinds.length === 0) return (bytes, start, end) => bytes.subarray(start, end);
  const isReplaced = new Set(kinds.flatMap((kind) => membersOfKind[kind]));
  const isOpaque = new Set(keyedByUsers);
  const replacesPayload = kinds.includes('payload');

  function redactJob(bytes: Buffer, at: number, cutter: Cutter): number {
    function visitValue(start: number): number {
      if (bytes[start] === openBrace) return walkObject(bytes, start, visitMember);
      return bytes[start] === openBracket ? walkArray(bytes, start, visitValue) : skipValue(bytes, start);
    }
    function visitMember(key: string, start: number): number {
      if (isReplaced.has(key)) return cutter.replace(start);
      return isOpaque.has(key) ? skipValue(bytes, start) : visitValue(start);
    }
    return walkObject(bytes, at, (key, start) => (replacesPayload && key === 'Payload' ? cutter.replace(start) : visitMember(key, start)));
  }

  /** `depth` 1: the payload; 2: an object in it, such as an allocation. */
  function findJobs(bytes: Buffer, at: number, cutter: Cutter, depth: number): number {
    return walkObject(bytes, at, (key, start) => {
      if (bytes[start] !== openBrace) return skipValue(bytes, start);
      if (key === 'Job') return redactJob(bytes, start, cutter);
      return depth < 2 ? findJobs(bytes, start, cutter, depth + 1) : skipValue(bytes, start);
    });
  }

  return (bytes, start, end) => {
    const event = bytes.subarray(start, end);
    if (!event.includes(jobKeyEnd) && !event.includes(asciiEscape)) return event;
    const cutter = new Cutter(bytes, start);
    walkObject(bytes, start, (key, at) => (key === 'Payload' && bytes[at] === openBrace ? findJobs(bytes, at, cutter, 1) : skipValue(bytes, at)));
    return cutter.result(end);
  };
}
