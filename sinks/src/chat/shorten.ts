/** Texts that fit where they go. */
import { wellFormed } from '../encoding/foreign-text.ts';

const ellipsis = '…';
/** Line breaks and changes of direction: a name could pass for something else with them. */
const misleading = /[\p{Cc}\p{Bidi_Control}]/gu;

/** On one line, at most `max` characters (UTF-16 units) after `escape`, cut between characters, the cut shown. */
export function shorten(
  text: string,
  max: number,
  escape: (character: string) => string = (character) => character,
): string {
  let whole = '';
  let cut = '';
  for (const character of wellFormed(text).replaceAll(misleading, ' ')) {
    const escaped = escape(character);
    if (whole.length + escaped.length > max) return cut + ellipsis;
    whole += escaped;
    if (whole.length <= max - ellipsis.length) cut = whole;
  }
  return whole;
}
