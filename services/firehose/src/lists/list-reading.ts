/**
 * The one reader of Nomad's lists: page by page, bounded, and resumable. It never trusts Nomad to end a list. What a
 * page means is its caller's business.
 */
import { createHash } from 'node:crypto';
import { HydrantError } from '@hydrant/shared/foundation/errors';
import { forEachElement } from '@hydrant/shared/foundation/json-scanner';
import type { NomadAddress } from '../source/address.ts';
import type { NomadClient } from '../source/nomad-http-client.ts';

export interface ListAnswer {
  readonly body: Buffer;
  /**
   * X-Nomad-Index: the newest change to what this list shows, as its leader knows it. Undefined: Nomad does not say.
   */
  readonly index: number | undefined;
  /** Undefined on the last page. */
  readonly nextToken: string | undefined;
}

/** Resolves with a 200 answer; rejects otherwise. `path` begins with `/v1/`. */
export type FetchList = (path: string, signal: AbortSignal) => Promise<ListAnswer>;

export interface ListQuery {
  /** Undefined: the list lives in no namespace. */
  readonly namespace?: string | undefined;
  /** Empty: the agent's own. */
  readonly region: string;
  readonly perPage: number;
}

/** A page and the index of its answer. */
export interface ReadPage<Content> {
  readonly content: Content;
  readonly index: number | undefined;
}

/** More than any list has: five million objects in pages of 500. Nomad has been seen to answer without end. */
export const maxPages = 10_000;

export function listPath(path: string, { namespace, region, perPage }: ListQuery, nextToken = ''): string {
  const parameters = new URLSearchParams({ per_page: String(perPage) });
  if (namespace !== undefined) parameters.set('namespace', namespace);
  if (region !== '') parameters.set('region', region);
  if (nextToken !== '') parameters.set('next_token', nextToken);
  return `${path}${path.includes('?') ? '&' : '?'}${parameters.toString()}`;
}

export async function fetchListAt(
  nomad: NomadClient,
  address: NomadAddress,
  path: string,
  signal: AbortSignal,
): Promise<ListAnswer> {
  const { body, headers } = await nomad.get(address, path, signal);
  const token = headers['x-nomad-nexttoken'];
  return { body, index: readListIndex(headers['x-nomad-index']), nextToken: token === '' ? undefined : token };
}

/** Undefined when the header is missing or no index. */
export function readListIndex(header: string | undefined): number | undefined {
  return /^\d{1,15}$/u.test(header ?? '') ? Number(header) : undefined;
}

function isNothing(body: Buffer): boolean {
  if (body.length > 64) return false;
  const text = body.toString('latin1').trim();
  return text === '' || text === 'null';
}

/**
 * Calls `visit` with the place of each element. Nothing at all and `null` are an empty list: Nomad has answered both.
 * Throws `list-malformed`.
 */
export function forEachListed(path: string, body: Buffer, visit: (start: number, end: number) => void): void {
  if (isNothing(body)) return;
  try {
    forEachElement(body, 0, visit);
  } catch (cause) {
    const text = `Expected Nomad to answer ${path} with a JSON array of its objects, got ${JSON.stringify(body.toString('utf8', 0, 80))}; is there a proxy in between?`;
    throw new HydrantError(text, { code: 'list-malformed', retryable: true, cause });
  }
}

function digest(token: string): string {
  return createHash('sha1').update(token).digest('base64');
}

/** Parses a page; may ask for more. A rejection leaves the reading where it is. */
export type ReadContent<Content> = (
  body: Buffer,
  index: number | undefined,
  signal: AbortSignal,
) => Content | Promise<Content>;

export class ListReading<Content> {
  readonly #path: string;
  readonly #query: ListQuery;
  readonly #fetchList: FetchList;
  readonly #readContent: ReadContent<Content>;
  /** Digests: a token may be as long as a header. */
  readonly #seen = new Set<string>();
  #nextToken: string | undefined = '';
  #pages = 0;

  constructor(path: string, query: ListQuery, fetchList: FetchList, readContent: ReadContent<Content>) {
    this.#path = path;
    this.#query = query;
    this.#fetchList = fetchList;
    this.#readContent = readContent;
  }

  /**
   * The next page, undefined after the last. Rejects as `fetchList` and the reader of the content do; the next call
   * asks for the same page again. Rejects with a permanent `list-endless` when the page before named a token that was
   * used already, or when there are too many pages. One call at a time.
   */
  async next(signal: AbortSignal): Promise<ReadPage<Content> | undefined> {
    if (this.#nextToken === undefined) return undefined;
    this.#refuseEndless(this.#nextToken);
    const answer = await this.#fetchList(listPath(this.#path, this.#query, this.#nextToken), signal);
    const content = await this.#readContent(answer.body, answer.index, signal);
    this.#seen.add(digest(this.#nextToken));
    this.#nextToken = answer.nextToken;
    this.#pages += 1;
    return { content, index: answer.index };
  }

  #refuseEndless(token: string): void {
    const problem = this.#seen.has(digest(token))
      ? `named the page ${JSON.stringify(token.slice(0, 80))} a second time`
      : this.#pages >= maxPages
        ? `has more than ${String(maxPages)} pages`
        : undefined;
    if (problem === undefined) return;
    const text = `Expected the list ${this.#path} of Nomad to end, but after ${String(this.#pages)} pages it ${problem}; what its pages showed is taken, the rest cannot be read. Nomad 1.9.6 and others do that: upgrade the servers`;
    throw new HydrantError(text, { code: 'list-endless', retryable: false });
  }
}
