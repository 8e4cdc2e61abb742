/** What has to be read from the lists: per topic, the index since which changes may have been missed. 0: everything. */
export type HealPlan = ReadonlyMap<string, number>;

export interface StreamFilter {
  readonly topics: readonly string[];
  readonly namespace: string;
}

export function planAll({ topics }: StreamFilter, since: number): HealPlan {
  return new Map(topics.map((topic) => [topic, since]));
}

/** What the stream shows now and did not show before: of a namespace that was not read, everything. */
export function planAdded(before: StreamFilter | undefined, now: StreamFilter): HealPlan {
  if (before === undefined || (before.namespace !== now.namespace && before.namespace !== '*')) return planAll(now, 0);
  if (before.topics.includes('*')) return new Map();
  return new Map(now.topics.filter((topic) => !before.topics.includes(topic)).map((topic) => [topic, 0]));
}

export function mergePlans(one: HealPlan, other: HealPlan): HealPlan {
  const merged = new Map(one);
  for (const [topic, since] of other) merged.set(topic, Math.min(since, merged.get(topic) ?? since));
  return merged;
}

/** Reads what `describeFilter` wrote into a checkpoint; undefined when it is something else. */
export function parseFilter(text: string): StreamFilter | undefined {
  const [, topics, namespace] = /^topics=(\S+) namespace=(\S+) region=/u.exec(text) ?? [];
  return topics === undefined || namespace === undefined ? undefined : { topics: topics.split(','), namespace };
}
