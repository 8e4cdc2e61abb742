/**
 * What a stream request subscribes to: the `topic` grammar with the traps that Nomad has, and the namespaces as they
 * were when the stream was opened. Pure.
 */
import type { FrameEvent } from './frame.ts';

const ALL = '*';

export interface TopicFilter {
  /** Topic to keys, as asked for: `*` among several keys is an ordinary key. */
  readonly topics: ReadonlyMap<string, readonly string[]>;
  readonly namespaces: ReadonlySet<string>;
}

/** The `topic` parameters by topic, or the first one that cannot be parsed. */
export function parseTopics(
  parameters: readonly string[],
): ReadonlyMap<string, readonly string[]> | { readonly invalid: string } {
  const topics = new Map<string, string[]>();
  for (const parameter of parameters.length === 0 ? [ALL] : parameters) {
    const [topic = '', key = ALL, ...rest] = parameter.split(':');
    if (rest.length > 0) return { invalid: parameter };
    const keys = topics.get(topic);
    if (keys === undefined) topics.set(topic, [key]);
    else keys.push(key);
  }
  return topics;
}

/** The events the filter lets through, in order; one that matches two keys comes twice. */
export function selectEvents(filter: TopicFilter, events: readonly FrameEvent[]): readonly FrameEvent[] {
  const selected: FrameEvent[] = [];
  for (const event of events) {
    for (let times = countMatches(filter, event); times > 0; times -= 1) selected.push(event);
  }
  return selected;
}

function countMatches(filter: TopicFilter, event: FrameEvent): number {
  if (event.namespace !== '' && !filter.namespaces.has(event.namespace)) return 0;
  const everywhere = filter.topics.get(ALL) ?? [];
  if (isWildcard(everywhere)) return 1;
  // n.b. `*` as a topic may be asked for with keys, which then hold for every topic beside that topic's own.
  const own = event.topic === ALL ? [] : (filter.topics.get(event.topic) ?? []);
  const keys = [...everywhere, ...own];
  if (isWildcard(keys)) return 1;
  return keys.filter((key) => key === event.key || event.filterKeys.includes(key)).length;
}

function isWildcard(keys: readonly string[]): boolean {
  return keys.length === 1 && keys[0] === ALL;
}
