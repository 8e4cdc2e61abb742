/**
 * Text that others wrote, as a person may see it: without what is invisible, turns the text around it, or is an order
 * to a terminal.
 */

/** Control (C0, C1) and format characters, those of both directions of writing, line separators, halves of a pair. */
export const invisible = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u;
/** A tab and the end of a line move a terminal's cursor no further than they say. */
const everyOrder = /[^\P{Cc}\t\n]|[\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;

const longest = 300;
const ellipsis = '…';

/** `\\u202e`, as JSON writes it; two of them for a character beyond the first 65,536. */
function escapeCharacter(character: string): string {
  return Array.from(
    { length: character.length },
    (_unit, at) => `\\u${character.charCodeAt(at).toString(16).padStart(4, '0')}`,
  ).join('');
}

/**
 * One line of at most 300 characters and the sign of the cut. What is cut is cut between characters, never within an
 * escape.
 */
export function makeVisible(text: string): string {
  let line = '';
  // An escape makes text longer, never shorter: what stands behind this is cut in any case.
  for (const character of text.slice(0, longest + 1).replaceAll(/\s+/gu, ' ')) {
    const shown = invisible.test(character) ? escapeCharacter(character) : character;
    if (line.length + shown.length > longest) return `${line}${ellipsis}`;
    line += shown;
  }
  return text.length > longest ? `${line}${ellipsis}` : line;
}

/** For a terminal, of any length: a tab and the end of a line stay. JSON stays JSON of the same value. */
export function makeTerminalSafe(text: string): string {
  // n.b. Between the values of JSON a carriage return is a blank and nothing else may stand there, an escape neither.
  return text.replaceAll('\r', ' ').replaceAll(everyOrder, escapeCharacter);
}
