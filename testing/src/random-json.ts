/**
 * JSON texts as nobody would write them: every escape, any white space, keys that come twice, numbers that no program
 * can hold. For fuzzers of what reads JSON.
 */
import type { Random } from './fuzz.ts';

const blanks = ['', '', '', '', ' ', '\t', '\n', '\r', '\r\n', ' \n\t '];
const letters = ['a', 'Key', ' ', '/', '{a:[', ']}', ',', ':', 'ä', '\u2028', '\u007f', '\ufeff', '語', '😀', '\ufffd'];
const simpleEscapes = ['\\"', '\\\\', '\\/', '\\b', '\\f', '\\n', '\\r', '\\t'];
const escapedUnits = [
  '0000',
  '001f',
  '0022',
  '005c',
  '005C',
  '0061',
  '00e4',
  '2028',
  'd83d\\ude00',
  'D83D\\uDE00',
  'd83d',
  'de00',
  'FFFF',
  'fEfF',
];
const numbers = [
  '0',
  '-0',
  '1',
  '-1',
  '10',
  '9007199254740993',
  '1755765238123456789',
  '123456789012345678901234567890',
  '0.1',
  '-0.0',
  '1.50',
  '1e5',
  '1E+5',
  '1e-07',
  '2.5e308',
  '-1e999',
  '1e-999',
  '0e0',
];
const names = [
  '""',
  '"a"',
  '"\\u0061"',
  '"b"',
  '"__proto__"',
  '"constructor"',
  '"Index"',
  '"Events"',
  '"Topic"',
  '"0"',
];

export function makeBlank({ pick }: Random): string {
  return pick(blanks);
}

/** A string with its quotes. */
export function makeJsonString({ below, oneIn, pick }: Random): string {
  const part = (): string => {
    if (oneIn(4)) return pick(simpleEscapes);
    return oneIn(4) ? `\\u${pick(escapedUnits)}` : pick(letters);
  };
  return `"${Array.from({ length: below(oneIn(20) ? 200 : 5) }, part).join('')}"`;
}

/** One value without white space around it, nested `depth` deep at most. */
export function makeJson(random: Random, depth: number): string {
  const { below, oneIn, pick } = random;
  if (depth === 0 || oneIn(3)) return oneIn(2) ? makeJsonString(random) : pick(['null', 'true', 'false', ...numbers]);
  const blank = (): string => makeBlank(random);
  const value = (): string => `${blank()}${makeJson(random, depth - 1)}${blank()}`;
  const isList = oneIn(2);
  const parts = Array.from({ length: below(5) }, () => {
    if (isList) return value();
    return `${blank()}${oneIn(3) ? makeJsonString(random) : pick(names)}${blank()}:${value()}`;
  });
  const inside = parts.length === 0 ? blank() : parts.join(',');
  return isList ? `[${inside}]` : `{${inside}}`;
}

/** The text with a few bytes planted, swapped, dropped or doubled, or with its end cut off. */
export function damageJson({ below, oneIn, pick }: Random, bytes: Buffer): Buffer {
  const planted = Buffer.from('{}[]",:0123456789-+.eEtfnul\\/ \n\t\r\u0000\u0001\u001f\u000b\u00a0\u00ff', 'latin1');
  let damaged = bytes;
  for (let times = 1 + below(3); times > 0; times -= 1) {
    const at = below(damaged.length + 1);
    const behind = Math.min(damaged.length, at + 1 + below(oneIn(3) ? 20 : 1));
    const between = pick(['plant', 'replace', 'drop', 'double', 'cut']);
    const byte = Buffer.from([planted[below(planted.length)] ?? 0]);
    if (between === 'plant') damaged = Buffer.concat([damaged.subarray(0, at), byte, damaged.subarray(at)]);
    else if (between === 'replace')
      damaged = Buffer.concat([damaged.subarray(0, at), byte, damaged.subarray(Math.min(damaged.length, at + 1))]);
    else if (between === 'drop') damaged = Buffer.concat([damaged.subarray(0, at), damaged.subarray(behind)]);
    else if (between === 'double') damaged = Buffer.concat([damaged.subarray(0, behind), damaged.subarray(at)]);
    else damaged = damaged.subarray(0, at);
  }
  return damaged;
}
