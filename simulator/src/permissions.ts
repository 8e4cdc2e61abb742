/**
 * What tokens are not permitted, as Nomad's access control sees it: a stream is refused when one of its topics is, in
 * one of its namespaces; a list of all namespaces only leaves out what is refused. Says nothing about which token is
 * valid.
 */
import { HydrantError } from '@hydrant/shared/foundation/errors';
import type { ListName } from './lists.ts';
import type { TopicFilter } from './topic-filter.ts';

const ALL = '*';
const NODE = 'node-read';
const MANAGEMENT = 'management';
const EVERYWHERE: ReadonlySet<string> = new Set([NODE, MANAGEMENT]);

/**
 * What the stream asks for, in each namespace, but for what holds everywhere. Any other topic is for management tokens.
 */
const neededByTopic: ReadonlyMap<string, string> = new Map([
  ...['Job', 'Allocation', 'Evaluation', 'Deployment', 'Service', 'CSIPlugin'].map(
    (topic) => [topic, 'read-job'] as const,
  ),
  ['HostVolume', 'host-volume-read'],
  ['CSIVolume', 'csi-read-volume'],
  ['Node', NODE],
]);

const neededByList = {
  allocations: 'read-job',
  evaluations: 'read-job',
  deployments: 'read-job',
  jobs: 'list-jobs',
  nodes: NODE,
  namespaces: undefined,
} as const satisfies Record<ListName, string | undefined>;

export class Permissions {
  #refused: ReadonlySet<string> = new Set();

  /**
   * `node-read`, `management` or `<namespace>/<capability>`, either of which may be `*`. Throws when one is none of
   * these.
   */
  refuse(refused: readonly string[]): void {
    for (const permission of refused) {
      if (EVERYWHERE.has(permission) || /^[^/]+\/[^/]+$/.test(permission)) continue;
      throw new HydrantError(
        `Expected \`${NODE}\`, \`${MANAGEMENT}\` or \`<namespace>/<capability>\`, got "${permission}"`,
        { code: 'control-parameter', retryable: false },
      );
    }
    this.#refused = new Set(refused);
  }

  get isManagement(): boolean {
    return this.#refused.size === 0;
  }

  allowsStream({ topics, namespaces }: TopicFilter): boolean {
    return [...topics.keys()].every((topic) => {
      const needed = neededByTopic.get(topic) ?? MANAGEMENT;
      if (needed === MANAGEMENT) return this.isManagement;
      return EVERYWHERE.has(needed)
        ? !this.#refused.has(needed)
        : [...namespaces].every((namespace) => this.#allows(namespace, needed));
    });
  }

  allowsList(list: ListName, namespace: string, namespaces: readonly string[]): boolean {
    const needed = neededByList[list];
    if (needed === undefined) return true;
    if (needed === NODE) return !this.#refused.has(NODE);
    return namespace === ALL ? namespaces.some((name) => this.#allows(name, needed)) : this.#allows(namespace, needed);
  }

  /**
   * Whether the list shows objects of that namespace, or that namespace itself: for this any capability in it is
   * enough.
   */
  shows(list: ListName, namespace: string): boolean {
    const needed = neededByList[list];
    if (needed === NODE) return true;
    return needed === undefined ? !this.#refused.has(`${namespace}/${ALL}`) : this.#allows(namespace, needed);
  }

  #allows(namespace: string, capability: string): boolean {
    return ![namespace, ALL].some(
      (name) => this.#refused.has(`${name}/${capability}`) || this.#refused.has(`${name}/${ALL}`),
    );
  }
}
