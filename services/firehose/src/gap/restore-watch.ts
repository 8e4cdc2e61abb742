/**
 * Notices `nomad operator snapshot restore`: Nomad's index goes on while objects go back, and no event tells of it.
 * What proves it is that a list is older than what the stream has shown. Pure. Two things are remembered: of each topic
 * the newest index, which the checkpoint keeps, and of the objects that changed last their state, in memory.
 *
 * Not noticed: a restore after which the table of every topic was written to, as long as none of the remembered objects
 * has gone back.
 */
import type { Frame } from '../source/scan-frame.ts';
import type { ListedObject } from './parse-list.ts';
import { identityOf } from './snapshot-merge.ts';

/** By topic, the newest index that was shown of it. */
export type TopicIndexes = Readonly<Record<string, number>>;

/** What was shown when a list was asked for: what came after says nothing about its answer. */
export interface ShownMark {
  readonly topics: ReadonlyMap<string, number>;
  readonly newest: number;
}

/**
 * Each change of these changes the ModifyIndex of the object and the index of its list. Nodes are sent unchanged, too.
 */
const watchedTopics: ReadonlySet<string> = new Set(['Job', 'Allocation', 'Evaluation', 'Deployment']);
/** About a megabyte. */
const rememberedObjects = 10_000;

export class RestoreWatch {
  readonly #maxObjects: number;
  readonly #topics = new Map<string, number>();
  /** The one that changed last is the last. */
  readonly #objects = new Map<string, number>();

  #newest = 0;

  constructor(maxObjects = rememberedObjects) {
    this.#maxObjects = maxObjects;
  }

  /** For the checkpoint. */
  get indexes(): TopicIndexes {
    return Object.fromEntries(this.#topics);
  }

  /** What an earlier process has seen. */
  begin(indexes: TopicIndexes): void {
    for (const [topic, index] of Object.entries(indexes)) if (watchedTopics.has(topic)) this.#topics.set(topic, index);
  }

  /** The frame is published, or was. */
  show({ index, events }: Pick<Frame, 'index' | 'events'>): void {
    this.#newest = index;
    for (const { head } of events) {
      if (head === undefined || !watchedTopics.has(head.topic)) continue;
      this.#topics.set(head.topic, Math.max(index, this.#topics.get(head.topic) ?? 0));
      this.#remember(identityOf(head.topic, head.namespace, head.key), index);
    }
  }

  mark(): ShownMark {
    return { topics: new Map(this.#topics), newest: this.#newest };
  }

  /**
   * Whether a list of that index and with these objects is older than what was shown at the mark. `index` 0: not known.
   */
  isOlder(
    { topics, newest }: ShownMark,
    topic: string,
    index: number,
    objects: readonly Pick<ListedObject, 'namespace' | 'key' | 'modifyIndex'>[],
  ): boolean {
    if (!watchedTopics.has(topic)) return false;
    if (index > 0 && index < (topics.get(topic) ?? 0)) return true;
    return objects.some(({ namespace, key, modifyIndex }) => {
      const shown = this.#objects.get(identityOf(topic, namespace, key)) ?? 0;
      return shown <= newest && modifyIndex < shown;
    });
  }

  /** Indexes or objects began anew: what was shown before says nothing more. */
  clear(): void {
    this.#topics.clear();
    this.#objects.clear();
    this.#newest = 0;
  }

  #remember(identity: string, index: number): void {
    this.#objects.delete(identity);
    this.#objects.set(identity, index);
    if (this.#objects.size <= this.#maxObjects) return;
    const [oldest] = this.#objects.keys();
    if (oldest !== undefined) this.#objects.delete(oldest);
  }
}
