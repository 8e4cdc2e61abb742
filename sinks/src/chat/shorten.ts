/** Texts that fit where they go. */

const ellipsis = '…';

/** At most `max` characters (UTF-16 units) after `escape`, cut between characters, the cut shown. */
export function shorten(text: string, max: number, escape: (character: string) => string = (character) => character): string {
  let whole = '';
  let cut = '';
  for (const character of text) {
    const escaped = escape(character);
    if (whole.length + escaped.length > max) return cut + ellipsis;
    whole += escaped;
    if (whole.length <= max - ellipsis.length) cut = whole;
  }
  return whole;
}
