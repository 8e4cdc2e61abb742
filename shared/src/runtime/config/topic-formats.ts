/**
 * Topics of Nomad, and patterns of routing keys. A slip in one of them would silence a sink without a word, so what can
 * match nothing that Hydrant publishes and looks like a slip is refused. The rest is passed: a newer Nomad has other
 * topics, alerts may have any key, and others publish to the same exchange.
 */
import { isKnownTopic, isTopicName, nomadTopics } from '../../messages/nomad-topics.ts';
import { alertKey, compatKeys, eventWord, eventWords, resolvedKey } from '../../messages/routing-keys.ts';
import { list, listOf, type Format } from './formats.ts';
import { findNearestName } from './nearest-name.ts';

/** More letters than these are another word. */
function mostSlips(word: string): number {
  return word.length < 7 ? 1 : 2;
}

const everything: ReadonlySet<string> = new Set(['all', 'any', 'every', 'everything', 'event', 'events', '#', '**']);

/** Undefined: nothing is wrong with it. */
function findTopicProblem(word: string): string | undefined {
  if (isKnownTopic(word)) return undefined;
  if (everything.has(word.toLowerCase())) return `for all topics write "*"; there are ${nomadTopics.join(', ')}`;
  const nearest = findNearestName(word, nomadTopics, mostSlips(word));
  if (nearest !== undefined) return `did you mean "${nearest}"?`;
  return isTopicName(word) ? undefined : `there are ${nomadTopics.join(', ')}`;
}

function doubtTopic(word: string): string | undefined {
  return word === '*' || isKnownTopic(word)
    ? undefined
    : `"${word}" is no topic that this version knows; Nomad sends nothing for one that it does not know either. There are ${nomadTopics.join(', ')}`;
}

const topic: Format<string> = {
  name: 'topic',
  expected: 'a topic such as "Allocation"',
  parse: (raw) => (typeof raw === 'string' && (raw === '*' || findTopicProblem(raw) === undefined) ? raw : undefined),
  hint: (raw) => (typeof raw === 'string' ? findTopicProblem(raw) : undefined),
  doubt: doubtTopic,
};

const topicList = listOf(topic, {
  name: 'topics',
  expected:
    'topics such as "Allocation,Job", separated by commas, each once (Nomad sends nothing for a topic that is named twice)',
});

export const topics: Format<readonly string[]> = {
  ...topicList,
  parse(raw) {
    const words = topicList.parse(raw);
    return words !== undefined && new Set(words).size === words.length ? words : undefined;
  },
};

function isWild(word: string | undefined): boolean {
  return word === '*' || word === '#';
}

/** Of a pattern that begins with the word `event`. */
function findEventProblem(words: readonly string[], pattern: string): string | undefined {
  const topicWord = words[1];
  const problem = topicWord === undefined || isWild(topicWord) ? undefined : findTopicProblem(topicWord);
  if (problem !== undefined) return `"${topicWord ?? ''}" is no topic, ${problem}`;
  const fixed = words.filter((word) => word !== '#').length;
  if (fixed > eventWords)
    return `the key of an event has ${String(eventWords)} words, event.<Topic>.<Type>.<namespace>.<job>, never ${String(fixed)}`;
  return fixed === eventWords || words.includes('#')
    ? undefined
    : `the key of an event has ${String(eventWords)} words, event.<Topic>.<Type>.<namespace>.<job>; did you mean "${pattern}.#"?`;
}

/** What a first word looks like that is none of ours; in the order in which they are told. */
function findKeyProblem(first: string, pattern: string): string | undefined {
  const rest = pattern.slice(first.length);
  if (findNearestName(first, [eventWord], 1) !== undefined) return `did you mean "${eventWord}${rest}"?`;
  const compat = findNearestName(first, compatKeys, 1);
  const topicName = findNearestName(first, nomadTopics, mostSlips(first));
  if (topicName !== undefined)
    return `did you mean "event.${topicName}.#"${compat === undefined ? '' : `, or "${compat}" of FIREHOSE_COMPAT`}?`;
  return compat === undefined ? undefined : `did you mean "${compat}", of FIREHOSE_COMPAT?`;
}

function findBindingProblem(pattern: string): string | undefined {
  const words = pattern.split('.');
  const [first = ''] = words;
  // n.b. the way out: who means a key of others that looks like a slip begins its pattern with a wildcard, as in
  // "#.Allocation".
  if (isWild(first)) return undefined;
  if (first === eventWord) return findEventProblem(words, pattern);
  const isOurs = [alertKey, resolvedKey, ...compatKeys].includes(first);
  return isOurs ? undefined : findKeyProblem(first, pattern);
}

function doubtBinding(pattern: string): string | undefined {
  const words = pattern.split('.');
  const [first = '', second = '#'] = words;
  if (first === eventWord && !isWild(second)) return doubtTopic(second);
  const isOurs = [alertKey, resolvedKey].includes(first);
  const nearest =
    isWild(first) || isOurs ? undefined : findNearestName(first, [alertKey, resolvedKey], mostSlips(first));
  return nearest === undefined
    ? undefined
    : `"${pattern}" is no key that Hydrant publishes under unless a setting says so; did you mean "${nearest}"?`;
}

const binding: Format<string> = {
  name: 'pattern',
  expected: 'a pattern of routing keys such as "event.Job.#"',
  parse: (raw) => (typeof raw === 'string' && findBindingProblem(raw) === undefined ? raw : undefined),
  hint: (raw) => (typeof raw === 'string' ? findBindingProblem(raw) : undefined),
  doubt: doubtBinding,
};

/** An empty list is none, as with any list. */
const bindingList = listOf(binding, {
  name: 'patterns',
  expected: 'patterns of routing keys such as "event.Job.#" or "crash-loop", separated by commas',
});

export const bindings: Format<readonly string[]> = {
  ...bindingList,
  parse: (raw) => (list.parse(raw)?.length === 0 ? [] : bindingList.parse(raw)),
};
