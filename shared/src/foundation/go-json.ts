/**
 * Writes JSON as Go's encoding/json does, byte for byte, for those who go on reading what nomad-firehose and
 * nomad-crashloop-detector wrote.
 */

/** Go's zero time: what a time that never was looks like in its JSON. */
export const goZeroTime = '0001-01-01T00:00:00Z';

/**
 * A value that is written as it is: text, bool, whole number of any size, or an object of these in the given order of
 * keys.
 */
export type GoValue = string | boolean | number | bigint | GoObject;

export interface GoObject {
  readonly [key: string]: GoValue;
}

const shortEscapes: Readonly<Record<string, string>> = {
  '"': '\\"',
  '\\': '\\\\',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
};

export function writeGoJson(value: GoValue): string {
  if (typeof value === 'string') return writeGoText(value);
  if (typeof value !== 'object') return String(value);
  return `{${Object.entries(value)
    .map(([key, member]) => `${writeGoText(key)}:${writeGoJson(member)}`)
    .join(',')}}`;
}

export function writeGoText(text: string): string {
  return `"${text.replace(/["\\\u0000-\u001f<>&\u2028\u2029]/gu, escapeCharacter)}"`;
}

function escapeCharacter(character: string): string {
  return shortEscapes[character] ?? `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

/** RFC3339Nano in UTC: fraction without trailing zeros, none when it is whole. */
export function formatGoTime(ns: bigint): string {
  const seconds = ns / 1_000_000_000n;
  const fraction = String(ns % 1_000_000_000n)
    .padStart(9, '0')
    .replace(/0+$/u, '');
  const whole = new Date(Number(seconds) * 1000).toISOString().slice(0, 19);
  return fraction === '' ? `${whole}Z` : `${whole}.${fraction}Z`;
}
