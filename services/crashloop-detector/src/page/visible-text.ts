/** Text from the cluster as a person may see it: of bounded length, and without what is invisible or turns the text around it. */

/** Control and format characters, line separators, halves of a pair. */
export const invisible = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u;
const everyInvisible = new RegExp(invisible, 'gu');

const longest = 300;

/** `\\u202e`, as JSON and shells write it. */
export function escapeCharacter(character: string): string {
  const code = (character.codePointAt(0) ?? 0).toString(16);
  return code.length > 4 ? `\\U${code.padStart(8, '0')}` : `\\u${code.padStart(4, '0')}`;
}

export function makeVisible(text: string): string {
  const line = text.slice(0, longest + 1).replaceAll(/\s+/gu, ' ').replaceAll(everyInvisible, escapeCharacter);
  return text.length > longest ? `${line.slice(0, longest)}…` : line;
}
