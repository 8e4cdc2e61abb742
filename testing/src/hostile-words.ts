/** Words that want to be something else: for fuzzers of what quotes, escapes and shows names. */
import type { Random } from './fuzz.ts';

const pieces = [
  "'", '"', '`', '\\', '$', '!', '!!', '!$', '-', '--', '-help', ';', '&', '|', '<', '>', '(', ')', '{a,b}', '*', '?', '[a]', '~', '#', '=', '%', '^', ' ', '\t', '\n', '\r', '\0', '\u0007', '\u001b[2J',
  '\u007f', '\u0085', '\u009b', '\u00a0', '\u00ad', '\u200b', '\u200d', '\u202e', '\u2028', '\u2066', '\u3000', '\ufeff', '\ufffd', '\ud800', '\udc00', '\u{e0001}', '\u{1f6b0}', 'é', 'e\u0301', '支', '’', '‘', '“',
  '$(touch STRAY)', '`touch STRAY`', ';touch STRAY;', '\ntouch STRAY\n', "'touch STRAY'", '$\'\\x27', '\\x27', '&amp;', '&lt;', '```', '*b*', '<!channel>', 'https://evil.example', 'web', 'a', '0', 'ab12', '/', '.', ':', '_',
] as const;

/** Of up to twelve pieces; seldom empty. */
export function makeHostileWord(random: Random): string {
  const count = random.below(13);
  return Array.from({ length: count }, () => (random.oneIn(8) ? String.fromCharCode(random.below(0x10000)) : random.pick(pieces))).join('');
}

/** As a program gets it for an argument: Unicode without NUL. */
export function asArgument(word: string): string {
  return Buffer.from(word.replaceAll('\0', '\ufffd')).toString();
}
