/** How far Nomad has come, by its own lists, which its leader answers. */
import { ListReading, type FetchList } from '../lists/list-reading.ts';
import { refusedStatus } from '../source/nomad-failure.ts';
import { indexListsOf } from './nomad-lists.ts';

export interface LeaderQuery {
  readonly topics: readonly string[];
  readonly namespace: string;
  readonly region: string;
}

export interface LeaderIndex {
  /** The newest that any of the topics' lists tells. */
  readonly index: number;
  /** Every topic has a list, and each was read: no event of these topics is newer. */
  readonly isComplete: boolean;
}

const listedTopics: ReadonlySet<string> = new Set(indexListsOf(['*']).map(({ topic }) => topic));

/** Undefined when no list can be read. Rejects only with the reason of `signal`. */
export async function readLeaderIndex(
  { topics, namespace, region }: LeaderQuery,
  fetchList: FetchList,
  signal: AbortSignal,
): Promise<LeaderIndex | undefined> {
  let index: number | undefined;
  let isComplete = topics.every((topic) => topic === '*' || listedTopics.has(topic));
  for (const { path, isNamespaced } of indexListsOf(topics)) {
    const reading = new ListReading(
      path,
      { namespace: isNamespaced ? namespace : undefined, region, perPage: 1 },
      fetchList,
      () => undefined,
    );
    try {
      const page = await reading.next(signal);
      if (page?.index === undefined) isComplete = false;
      else index = Math.max(page.index, index ?? 0);
    } catch (thrown) {
      signal.throwIfAborted();
      isComplete &&= path.startsWith('/v1/acl/') && isAccessControlOff(thrown);
    }
  }
  return index === undefined ? undefined : { index, isComplete };
}

/** Then there are no events of it either. */
function isAccessControlOff(thrown: unknown): boolean {
  return refusedStatus(thrown) === 400;
}
