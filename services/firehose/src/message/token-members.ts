/**
 * Where Nomad itself puts tokens and keys into events, which topics that concerns, and a cheap check for events that
 * hold none. Newer Nomads blank most of these members; what is blank stays as it is.
 */
import { skipSpace } from '@hydrant/shared/foundation/json-scanner';

/** Members by name; `secret`: the value is one. */
export interface Members {
  get(name: string): 'secret' | Members | undefined;
  keys(): Iterable<string>;
}

export const tokensOfJobs: ReadonlySet<string> = new Set(['VaultToken', 'ConsulToken']);

/** Below an event's payload. Of jobs, see `tokensOfJobs`. */
export const tokenMembers: ReadonlyMap<string, Members> = new Map<string, Members>([
  // Identities of the tasks as JWTs, up to Nomad 1.9.5.
  ['Allocation', new Map([['SignedIdentities', 'secret']])],
  ['Evaluation', new Map([['LeaderACL', 'secret']])],
  ['Node', new Map([['SecretID', 'secret']])],
  ['ACLToken', new Map([['SecretID', 'secret']])],
  [
    'AuthMethod',
    new Map([
      [
        'Config',
        new Map<string, 'secret' | Members>([
          ['OIDCClientSecret', 'secret'],
          ['OIDCClientAssertion', new Map([['PrivateKey', new Map([['PemKey', 'secret']])]])],
        ]),
      ],
    ]),
  ],
  ['Volume', new Map([['Secrets', 'secret']])],
  // Whoever knows the id of a lock can release it.
  ['Metadata', new Map([['Lock', new Map([['ID', 'secret']])]])],
]);

const quote = 0x22;
const colon = 0x3a;
const closeBrace = 0x7d;
const closeBracket = 0x5d;

/** The members of payloads' objects that are a token or hold one. */
function suspectMembers(): readonly string[] {
  return [...tokenMembers.values()].flatMap((members) => [...members.keys()]);
}

/** The end of a key: a search is fast when it begins with a rare byte, and a quote is none. */
function keyEnds(names: Iterable<string>): readonly Buffer[] {
  return [...names].map((name) => Buffer.from(`${name}"`));
}

/** By topic, of those that come often. */
const keysOfTopic: ReadonlyMap<string, readonly Buffer[]> = new Map([
  ['Allocation', keyEnds(['SignedIdentities'])],
  ['Evaluation', keyEnds(['LeaderACL'])],
  ['Node', keyEnds(['SecretID'])],
  ['Job', keyEnds(tokensOfJobs)],
]);
const allKeys = keyEnds(new Set([...tokensOfJobs, ...suspectMembers()]));

/** `""`, `[]`, `{}` and words such as null. */
export function isBlank(bytes: Buffer, start: number): boolean {
  const first = bytes[start];
  if (first === quote) return bytes[start + 1] === quote;
  if (first === 0x7b) return bytes[skipSpace(bytes, start + 1)] === closeBrace;
  if (first === 0x5b) return bytes[skipSpace(bytes, start + 1)] === closeBracket;
  return first === 0x6e || first === 0x74 || first === 0x66;
}

function hasValueAt(event: Buffer, keyEnd: number): boolean {
  const at = skipSpace(event, keyEnd);
  return event[at] === colon && !isBlank(event, skipSpace(event, at + 1));
}

function hasValue(event: Buffer, key: Buffer): boolean {
  for (let at = event.indexOf(key); at !== -1; at = event.indexOf(key, at + key.length)) {
    if (hasValueAt(event, at + key.length)) return true;
  }
  return false;
}

/** False when `event` surely holds no token in a key that is written plainly. */
export function mayHoldToken(event: Buffer, topic: string): boolean {
  return (keysOfTopic.get(topic) ?? allKeys).some((key) => hasValue(event, key));
}

const asciiEscape = Buffer.from('\\u00');

/** Whether a letter is written as an escape: `"\u004aob"` is the same key as `"Job"`. */
export function hasEscapedLetter(event: Buffer): boolean {
  for (let at = event.indexOf(asciiEscape); at !== -1; at = event.indexOf(asciiEscape, at + 1)) {
    const digit = event[at + asciiEscape.length] ?? 0;
    if (digit >= 0x34 && digit <= 0x37) return true;
  }
  return false;
}
