/**
 * Names with `*` (any letters, none included) and `?` (one letter). Everything else stands for itself, `/` too, because
 * the names of dispatched and periodic jobs hold it. No regular expression: names come from the cluster, and this takes
 * at most the product of both lengths.
 */

/** The test for a whole name. */
export function compileGlob(pattern: string): (name: string) => boolean {
  if (!/[*?]/u.test(pattern)) return (name) => name === pattern;
  const wanted = [...pattern];
  return (name) => matches(wanted, [...name]);
}

/**
 * Goes back to the latest `*` and lets it take one letter more, which is enough: an earlier one need never take more
 * than it did.
 */
function matches(wanted: readonly string[], letters: readonly string[]): boolean {
  let at = 0;
  let star = -1;
  let starTook = 0;
  for (let letter = 0; letter < letters.length;) {
    if (wanted[at] === '*') {
      star = at;
      starTook = letter;
      at += 1;
    } else if (at < wanted.length && (wanted[at] === '?' || wanted[at] === letters[letter])) {
      at += 1;
      letter += 1;
    } else if (star >= 0) {
      starTook += 1;
      letter = starTook;
      at = star + 1;
    } else {
      return false;
    }
  }
  while (wanted[at] === '*') at += 1;
  return at === wanted.length;
}
