/**
 * Makes a recording look new without parsing it: times moved by a fixed amount, raft indexes raised, ids replaced. Text
 * is treated as Latin-1, one character a byte, so every byte that is not rewritten stays as it was.
 */
export interface Rewrite {
  /** Added to every time, in nanoseconds. */
  readonly shiftNs: bigint;
  /** Added to every raft index but 0. */
  readonly indexOffset: number;
  /** 0 leaves ids alone; every other number gives each id another one. */
  readonly idSeed: number;
  /** Ids that stay, such as those of nodes. */
  readonly keptIds: ReadonlySet<string>;
}

const NANOSECONDS_MEMBER = /(?<!\\)"(Time|CreateTime|ModifyTime|SubmitTime|RescheduleTime)":(\d{16,19})\b/g;
const TIMESTAMP_MEMBER = /":"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{1,9})?(Z|[+-]\d\d:\d\d)"/g;
const INDEX_MEMBER = /(?<!\\)"(\w*Index)":([1-9]\d*)\b/g;
const UUID = /\b([0-9a-f]{8})(-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})\b/g;
const ZERO_TIME = '0001-01-01T00:00:00';
const NS_PER_MS = 1_000_000n;
const NS_PER_SECOND = 1_000_000_000n;
const SEED_SPREAD = 0x9e3779b1;

export function isIdentity(rewrite: Rewrite): boolean {
  return rewrite.shiftNs === 0n && rewrite.indexOffset === 0 && rewrite.idSeed === 0;
}

export function rewriteBytes(bytes: Buffer, rewrite: Rewrite): Buffer {
  if (isIdentity(rewrite)) return bytes;
  let text = bytes.toString('latin1');
  if (rewrite.shiftNs !== 0n) text = shiftTimes(text, rewrite.shiftNs);
  if (rewrite.indexOffset !== 0) {
    text = text.replace(
      INDEX_MEMBER,
      (_, name: string, index: string) => `"${name}":${String(Number(index) + rewrite.indexOffset)}`,
    );
  }
  if (rewrite.idSeed !== 0) {
    text = text.replace(UUID, (id: string, head: string, tail: string) =>
      rewrite.keptIds.has(id) ? id : freshHead(head, rewrite.idSeed) + tail,
    );
  }
  return Buffer.from(text, 'latin1');
}

/** The newest time in these bytes, in nanoseconds since 1970; 0 when there is none. Plans for later do not count. */
export function newestTimeNs(bytes: Buffer): bigint {
  let newest = 0n;
  for (const [, name, digits] of bytes.toString('latin1').matchAll(NANOSECONDS_MEMBER)) {
    if (name === 'RescheduleTime' || digits === undefined) continue;
    const time = BigInt(digits);
    if (time > newest) newest = time;
  }
  return newest;
}

function shiftTimes(text: string, shiftNs: bigint): string {
  return text
    .replace(NANOSECONDS_MEMBER, (_, name: string, digits: string) => `"${name}":${String(BigInt(digits) + shiftNs)}`)
    .replace(TIMESTAMP_MEMBER, (match: string, seconds: string, fraction: string | undefined, zone: string) =>
      seconds === ZERO_TIME ? match : `":"${shiftTimestamp(seconds, fraction ?? '', zone, shiftNs)}"`,
    );
}

/** As Go prints it: no trailing zeros in the fraction, the zone as it was. */
function shiftTimestamp(seconds: string, fraction: string, zone: string, shiftNs: bigint): string {
  const local = BigInt(Date.parse(`${seconds}Z`)) * NS_PER_MS + BigInt(fraction.slice(1).padEnd(9, '0')) + shiftNs;
  const wholeSeconds = new Date(Number((local / NS_PER_SECOND) * 1000n)).toISOString().slice(0, 19);
  const rest = (local % NS_PER_SECOND).toString().padStart(9, '0').replace(/0+$/, '');
  return `${wholeSeconds}${rest === '' ? '' : `.${rest}`}${zone}`;
}

function freshHead(head: string, seed: number): string {
  const mixed = (Number.parseInt(head, 16) ^ Math.imul(seed, SEED_SPREAD)) >>> 0;
  return mixed.toString(16).padStart(8, '0');
}
