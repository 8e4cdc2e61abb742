/** Reads a list of Nomad page by page; the objects' bytes stay as they came. */
import { HydrantError } from '@hydrant/shared/foundation/errors';
import { forEachElement, forEachMember, readString } from '@hydrant/shared/foundation/json-scanner';
import { readIndex } from '@hydrant/shared/messages/nomad-event';
import { pagePath, type NomadList, type PageQuery } from './nomad-lists.ts';

export interface ListedObject {
  readonly key: string;
  /** Empty for objects that live in no namespace. */
  readonly namespace: string;
  readonly modifyIndex: number;
  readonly jobId: string | undefined;
  readonly deploymentId: string | undefined;
  readonly bytes: Buffer;
}

export interface ListPage {
  readonly objects: readonly ListedObject[];
  /** X-Nomad-Index: the newest change to what this list shows, as its leader knows it. */
  readonly index: number;
}

export interface ListAnswer {
  readonly body: Buffer;
  readonly index: number;
  /** Undefined on the last page. */
  readonly nextToken: string | undefined;
}

/** Resolves with a 200 answer; rejects otherwise. `path` begins with `/v1/`. */
export type FetchList = (path: string, signal: AbortSignal) => Promise<ListAnswer>;

/** Throws `list-malformed` when the body is no list of objects with a key and a ModifyIndex. */
export function parseList({ keyMember, topic }: NomadList, body: Buffer): ListedObject[] {
  const objects: ListedObject[] = [];
  try {
    forEachElement(body, 0, (start, end) => { objects.push(parseObject(keyMember, body, start, end)); });
  } catch (cause) {
    const text = `Expected the list of ${topic} objects to be a JSON array of objects with ${keyMember} and ModifyIndex, got ${body.toString('utf8', 0, 80)}`;
    throw new HydrantError(text, { code: 'list-malformed', retryable: true, cause });
  }
  return objects;
}

function parseObject(keyMember: string, body: Buffer, start: number, end: number): ListedObject {
  const texts = new Map<string, string>();
  let modifyIndex = 0;
  forEachMember(body, start, (name, from, to) => {
    if (name === 'ModifyIndex') modifyIndex = readIndex(body, from, to);
    else if (body[from] === 0x22 && (name === keyMember || name === 'Namespace' || name === 'JobID' || name === 'DeploymentID')) texts.set(name, readString(body, from, to));
  });
  const key = texts.get(keyMember);
  if (key === undefined) throw new Error(`no ${keyMember}`);
  return { key, namespace: texts.get('Namespace') ?? '', modifyIndex, jobId: texts.get('JobID'), deploymentId: texts.get('DeploymentID'), bytes: body.subarray(start, end) };
}

/** One page in memory at a time. Rejects as `fetchList`, or with `list-malformed`. */
export async function* readList(list: NomadList, query: Omit<PageQuery, 'nextToken'>, fetchList: FetchList, signal: AbortSignal): AsyncGenerator<ListPage> {
  for (let nextToken: string | undefined = ''; nextToken !== undefined;) {
    const answer: ListAnswer = await fetchList(pagePath(list, { ...query, nextToken }), signal);
    yield { objects: parseList(list, answer.body), index: answer.index };
    nextToken = answer.nextToken;
  }
}
