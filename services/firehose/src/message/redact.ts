/**
 * Replaces values that are secret, or may be, in events; every other byte stays as it came. `tokens` are those that
 * Nomad itself puts into objects of any kind. All other kinds are looked for in jobs alone, wherever a payload holds
 * one: a node's `Meta` is nobody's secret. Keys may stand in any order and be written with escapes.
 */
import { skipValue, walkArray, walkObject } from '@hydrant/shared/foundation/json-scanner';
import { hasEscapedLetter, isBlank, mayHoldToken, tokenMembers, tokensOfJobs, type Members } from './token-members.ts';

export const redactKinds = ['tokens', 'env', 'templates', 'meta', 'payload', 'config'] as const;
export type RedactKind = (typeof redactKinds)[number];

/** Whether events of the topic hold jobs. Of all others, Nomad strips the job. */
export function carriesJobs(topic: string): boolean {
  return topic === 'Job' || topic === '*';
}

/**
 * The bytes of the event between `start` and `end`, redacted; a view of `bytes` when there was nothing to replace.
 * Throws `json-malformed`.
 */
export type Redact = (bytes: Buffer, start: number, end: number, topic: string) => Buffer;

/**
 * The members whose values are replaced, at any depth of a job: groups, tasks, services and their sidecars, regions,
 * artifacts, checks.
 */
const membersOfKind: Readonly<Record<RedactKind, readonly string[]>> = {
  // Only the job's own.
  tokens: [],
  env: ['Env'],
  templates: ['Templates'],
  meta: ['Meta', 'CanaryMeta'],
  // Only the job's own: `ParameterizedJob.Payload` says whether one is required.
  payload: [],
  config: ['Config', 'GetterOptions', 'GetterHeaders', 'Header', 'Body'],
};

/** Objects whose keys are a user's own words, which must not be taken for members of a job. */
const keyedByUsers = [
  ...Object.values(membersOfKind).flat(),
  'Volumes',
  'EnvoyGatewayBindAddresses',
  'TaggedAddresses',
  'Policy',
  'Links',
];

const openBrace = 0x7b;
const openBracket = 0x5b;
const quote = 0x22;
/** The end of the key: a search is fast when it begins with a rare byte, and a quote is none. */
const jobKeyEnd = Buffer.from('Job"');
/** Deeper than any job outside of what is skipped or replaced. What is deeper is replaced unseen. */
const maxDepth = 64;

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

  /** As `replace`, but what is blank holds no secret and stays. */
  replaceToken(start: number): number {
    return isBlank(this.#bytes, start) ? skipValue(this.#bytes, start) : this.replace(start);
  }

  result(end: number): Buffer {
    const rest = this.#bytes.subarray(this.#at, end);
    return this.#pieces.length === 0 ? rest : Buffer.concat([...this.#pieces, rest]);
  }
}

export function createRedact(kinds: readonly RedactKind[]): Redact {
  if (kinds.length === 0) return (bytes, start, end) => bytes.subarray(start, end);
  const redactsTokens = kinds.includes('tokens');
  const redactsJobs = kinds.some((kind) => kind !== 'tokens');
  const redactJob = createRedactJob(kinds);

  /**
   * `depth` 1: the payload; 2: an object in it, such as an allocation. `members`: what is looked for in the object at
   * `at`, beside jobs.
   */
  function findSecrets(bytes: Buffer, at: number, cutter: Cutter, members: Members | undefined, depth: number): number {
    return walkObject(bytes, at, (key, start) => {
      const below = members?.get(key);
      if (below === 'secret') return cutter.replaceToken(start);
      if (bytes[start] !== openBrace) return skipValue(bytes, start);
      if (key === 'Job' && depth <= 2) return redactJob(bytes, start, cutter);
      return below !== undefined || depth < 2
        ? findSecrets(bytes, start, cutter, below, depth + 1)
        : skipValue(bytes, start);
    });
  }

  return (bytes, start, end, topic) => {
    const event = bytes.subarray(start, end);
    const isSuspect =
      (redactsJobs && event.includes(jobKeyEnd)) ||
      (redactsTokens && mayHoldToken(event, topic)) ||
      hasEscapedLetter(event);
    if (!isSuspect) return event;
    const cutter = new Cutter(bytes, start);
    const members = redactsTokens ? tokenMembers : undefined;
    walkObject(bytes, start, (key, at) =>
      key === 'Payload' && bytes[at] === openBrace ? findSecrets(bytes, at, cutter, members, 1) : skipValue(bytes, at),
    );
    return cutter.result(end);
  };
}

/** Redacts the job that begins at `at`; returns the index after it. */
function createRedactJob(kinds: readonly RedactKind[]): (bytes: Buffer, at: number, cutter: Cutter) => number {
  const isReplaced = new Set(kinds.flatMap((kind) => membersOfKind[kind]));
  const isOpaque = new Set(keyedByUsers);
  const isToken = kinds.includes('tokens') ? tokensOfJobs : new Set<string>();
  const replacesPayload = kinds.includes('payload');
  return (bytes, at, cutter) => {
    let depth = 1;
    function visitValue(start: number): number {
      const first = bytes[start];
      if (first !== openBrace && first !== openBracket) return skipValue(bytes, start);
      if (depth === maxDepth) return cutter.replace(start);
      depth += 1;
      const end = first === openBrace ? walkObject(bytes, start, visitMember) : walkArray(bytes, start, visitValue);
      depth -= 1;
      return end;
    }
    function visitMember(key: string, start: number): number {
      if (isReplaced.has(key)) return cutter.replace(start);
      // n.b. with nothing but tokens to replace, the job's own members are all there is to see.
      return isReplaced.size === 0 || isOpaque.has(key) ? skipValue(bytes, start) : visitValue(start);
    }
    return walkObject(bytes, at, (key, start) => {
      if (isToken.has(key)) return cutter.replaceToken(start);
      return replacesPayload && key === 'Payload' ? cutter.replace(start) : visitMember(key, start);
    });
  };
}
