/** The lists over HTTP, at the address of the stream; Nomad answers them from its leader. */
import type { NomadAddress } from '../source/address.ts';
import type { NomadClient } from '../source/nomad-http-client.ts';
import { listsOf, pagePath } from './nomad-lists.ts';
import type { FetchList, ListAnswer } from './read-list.ts';

export async function fetchListAt(nomad: NomadClient, address: NomadAddress, path: string, signal: AbortSignal): Promise<ListAnswer> {
  const { body, headers } = await nomad.get(address, path, signal);
  const token = headers['x-nomad-nexttoken'];
  return { body, index: Number(headers['x-nomad-index'] ?? '0') || 0, nextToken: token === '' ? undefined : token };
}

export interface LeaderQuery {
  readonly topics: readonly string[];
  readonly namespace: string;
  readonly region: string;
}

/** The newest index that any of the topics' lists tells; undefined when none of them can be read. */
export async function readLeaderIndex(query: LeaderQuery, fetchList: FetchList, signal: AbortSignal): Promise<number | undefined> {
  let newest: number | undefined;
  for (const list of listsOf(query.topics)) {
    const path = pagePath(list, { ...query, perPage: 1, nextToken: '' });
    const answer = await fetchList(path, signal).catch(() => undefined);
    if (answer !== undefined) newest = Math.max(answer.index, newest ?? 0);
  }
  return newest;
}
