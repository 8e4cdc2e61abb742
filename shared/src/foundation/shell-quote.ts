/**
 * One word for a shell, whatever is in it: for commands that people copy and paste. bash, zsh, ksh and every POSIX
 * shell since 2024 take it for exactly that word; older ones may take it for another word, but run nothing of it.
 *
 * The result is one line of visible characters without a backquote, so that a chat may set it as code, and without `!`,
 * which an interactive shell would expand.
 */
import { Buffer } from 'node:buffer';

/** What no shell gives a meaning, at the beginning of a word or later in it. */
const bare = /^[\w./][\w@%+=:,./-]*$/u;
/** Nothing here ends a quotation, and nothing is invisible or looks like a blank without being one. */
const printable = /^[\p{L}\p{N}\p{P}\p{S} ]*$/u;
const special = /['`!\\]/u;

export function quoteForShell(word: string): string {
  if (bare.test(word)) return word;
  if (printable.test(word) && !special.test(word)) return `'${word}'`;
  let escaped = '';
  for (const character of word)
    escaped += printable.test(character) && !special.test(character) ? character : escapeBytes(character);
  return `$'${escaped}'`;
}

/** Bytes, since `\\u` depends on the locale. No argument of a program can hold NUL or half of a surrogate pair. */
function escapeBytes(character: string): string {
  const bytes = Buffer.from(character === '\0' ? '\ufffd' : character);
  return Array.from(bytes, (byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('');
}
