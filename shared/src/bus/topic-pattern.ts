/**
 * AMQP topic patterns: words between dots, `*` is exactly one word, `#` any number of words, none included. Everything
 * else stands for itself.
 */
function toWords(text: string): string[] {
  return text === '' ? [] : text.split('.');
}

/**
 * Goes back to the latest `#` and lets it take one word more, which is enough: an earlier one need never take more than
 * it did.
 */
function matchWords(pattern: readonly string[], words: readonly string[]): boolean {
  let at = 0;
  let hash = -1;
  let hashTook = 0;
  for (let word = 0; word < words.length;) {
    const wanted = pattern[at];
    if (wanted === '#') {
      hash = at;
      hashTook = word;
      at += 1;
    } else if (wanted !== undefined && (wanted === '*' || wanted === words[word])) {
      at += 1;
      word += 1;
    } else if (hash >= 0) {
      hashTook += 1;
      word = hashTook;
      at = hash + 1;
    } else {
      return false;
    }
  }
  while (pattern[at] === '#') at += 1;
  return at === pattern.length;
}

/** The test that a topic exchange would make for one binding. */
export function compileTopicPattern(pattern: string): (routingKey: string) => boolean {
  if (pattern === '#') return () => true;
  const patternWords = toWords(pattern);
  const isWild = (word: string): boolean => word === '*' || word === '#';
  if (!patternWords.some(isWild)) return (routingKey) => routingKey === pattern;

  const beginning = patternWords.slice(0, -1);
  if (patternWords.at(-1) === '#' && !beginning.some(isWild)) {
    const exact = beginning.join('.');
    const prefix = `${exact}.`;
    return (routingKey) => routingKey === exact || routingKey.startsWith(prefix);
  }
  return (routingKey) => matchWords(patternWords, toWords(routingKey));
}

/** True where any of the bindings matches. */
export function compileBindings(patterns: readonly string[]): (routingKey: string) => boolean {
  const tests = patterns.map(compileTopicPattern);
  return (routingKey) => tests.some((matches) => matches(routingKey));
}
