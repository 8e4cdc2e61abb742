/**
 * The list endpoints over HTTP: X-Nomad-Index, pages, blocking queries, 403 without the right token or permission.
 * Parameters that would change a list's content and are not simulated (`filter`, `prefix`, `reverse`) are refused
 * rather than overlooked.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { gzipSync } from 'node:zlib';
import type { Clock } from '@hydrant/shared/foundation/clock';
import { parseDuration } from '@hydrant/shared/foundation/durations';
import type { Faults, ListFault } from './faults.ts';
import type { ListName, Lists } from './lists.ts';
import type { Permissions } from './permissions.ts';
import { answerText, readToken, readUrl } from './requests.ts';

export interface ListEndpointPorts {
  readonly lists: Lists;
  readonly faults: Faults;
  readonly permissions: Permissions;
  readonly clock: Clock;
}

const MAX_WAIT_MS = 300_000;
const NOT_SIMULATED = ['filter', 'prefix', 'reverse'] as const;

export class ListEndpoint {
  readonly #ports: ListEndpointPorts;
  readonly #token: string | undefined;

  constructor(ports: ListEndpointPorts, token: string | undefined) {
    this.#ports = ports;
    this.#token = token;
  }

  isDenied(request: IncomingMessage): boolean {
    return this.#ports.faults.listsDenied || (this.#token !== undefined && readToken(request) !== this.#token);
  }

  async handle(list: ListName, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const parameters = readUrl(request).searchParams;
    const { lists, permissions } = this.#ports;
    const namespace = parameters.get('namespace') ?? 'default';
    if (this.isDenied(request) || !permissions.allowsList(list, namespace, lists.namespaceNames())) {
      answerText(response, 403, 'Permission denied');
      return;
    }
    const notSimulated = NOT_SIMULATED.find((name) => parameters.has(name));
    if (notSimulated !== undefined) {
      answerText(response, 501, `The simulator does not know the parameter \`${notSimulated}\``);
      return;
    }
    const perPage = Number(parameters.get('per_page') ?? '0');
    if (!Number.isInteger(perPage) || perPage < 0) {
      answerText(response, 400, `Expected per_page to be a number, got ${parameters.get('per_page') ?? ''}`);
      return;
    }
    await this.#waitForChange(list, parameters, response);
    if (response.destroyed) return;
    const page = lists.page(list, {
      namespace,
      shows: (name) => permissions.shows(list, name),
      perPage,
      nextToken: parameters.get('next_token') ?? '',
    });
    const fault = this.#ports.faults.listFault(list);
    if (typeof fault === 'number') answerText(response, fault, 'The simulator was told to answer so');
    else
      answerList(request, response, faultyBody(fault) ?? page.body, {
        'X-Nomad-Index': lists.index(list),
        'X-Nomad-NextToken': fault === 'same-token' ? 'the-same' : page.nextToken,
      });
  }

  /** GET /v1/job/<id> and /v1/node/<id>, of what was played. */
  handleObject(list: 'jobs' | 'nodes', key: string, request: IncomingMessage, response: ServerResponse): void {
    const { lists, permissions } = this.#ports;
    const namespace = list === 'nodes' ? '' : (readUrl(request).searchParams.get('namespace') ?? 'default');
    if (this.isDenied(request) || !permissions.allowsList(list, namespace, lists.namespaceNames())) {
      answerText(response, 403, 'Permission denied');
      return;
    }
    const body = lists.whole(list, namespace, key);
    if (body === undefined) answerText(response, 404, `${list.slice(0, -1)} not found`);
    else answerList(request, response, body, { 'X-Nomad-Index': lists.index(list) });
  }

  /** GET /v1/acl/tokens, which is for management tokens only. There are none to show. */
  handleTokens(request: IncomingMessage, response: ServerResponse): void {
    const { faults, permissions } = this.#ports;
    if (this.isDenied(request) || !permissions.isManagement) answerText(response, 403, 'Permission denied');
    else if (this.#token === undefined && faults.mode === 'none') answerText(response, 400, 'ACL support disabled');
    else answerList(request, response, Buffer.from('[]'), {});
  }

  /** A blocking query: waits until the list is newer than `index`, but no longer than `wait`. */
  async #waitForChange(list: ListName, parameters: URLSearchParams, response: ServerResponse): Promise<void> {
    const { lists, clock } = this.#ports;
    const index = Number(parameters.get('index') ?? '0');
    if (index === 0 || lists.index(list) > index) return;
    const asked = parseDuration(parameters.get('wait') ?? '') ?? MAX_WAIT_MS;
    const over = new AbortController();
    const stop = (): void => {
      over.abort();
    };
    const release = lists.onChange(() => {
      if (lists.index(list) > index) stop();
    });
    response.once('close', stop);
    await clock.sleep(Math.min(asked === 0 ? MAX_WAIT_MS : asked, MAX_WAIT_MS), over.signal);
    release();
  }
}

function faultyBody(fault: ListFault | undefined): Buffer | undefined {
  if (fault === 'empty') return Buffer.alloc(0);
  if (fault === 'null') return Buffer.from('null');
  return fault === 'malformed' ? Buffer.from('{"error":"no list"}') : undefined;
}

function answerList(
  request: IncomingMessage,
  response: ServerResponse,
  plain: Buffer,
  headers: Record<string, string | number | undefined>,
): void {
  const zipped = /\bgzip\b/.test(request.headers['accept-encoding'] ?? '');
  const body = zipped ? gzipSync(plain) : plain;
  response.setHeader('Content-Type', 'application/json');
  response.setHeader('Vary', 'Accept-Encoding');
  response.setHeader('X-Nomad-KnownLeader', 'true');
  response.setHeader('X-Nomad-LastContact', '0');
  if (zipped) response.setHeader('Content-Encoding', 'gzip');
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined) response.setHeader(name, value);
  }
  response.setHeader('Content-Length', body.length);
  response.end(body);
}
