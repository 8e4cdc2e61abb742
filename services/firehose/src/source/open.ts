/**
 * Opens Nomad's event stream at one address and hands out its bytes as they come. It knows HTTP and TLS, not what the bytes mean.
 * Files (token, certificates) are read at each call, because workload identities and certificates rotate.
 */
import { readFile } from 'node:fs/promises';
import { errorCode, HydrantError } from '@hydrant/shared/foundation/errors';
import { Client, type Dispatcher } from 'undici';
import type { NomadAddress } from './address.ts';

/** How to prove who we are and to whom; null: not set. */
export interface NomadAccess {
  readonly token: string | null;
  readonly tokenFile: string | null;
  /** `user:password` for basic authentication. */
  readonly httpAuth: string | null;
  readonly caFile: string | null;
  readonly certFile: string | null;
  readonly keyFile: string | null;
  readonly serverName: string | null;
  readonly skipVerify: boolean;
}

export interface StreamQuery {
  /** Each topic once: Nomad takes a repeated one for a filter that matches nothing. */
  readonly topics: readonly string[];
  readonly namespace: string;
  /** Empty: the agent's own. */
  readonly region: string;
}

export interface OpenedStream {
  /** Ends or throws when the connection ends; neither says why Nomad ended it. */
  readonly bytes: AsyncIterable<Buffer>;
  close(): Promise<void>;
}

/** Resolves when Nomad has answered 200. Rejects with a HydrantError, or the reason of `signal`. */
export type OpenStream = (address: NomadAddress, index: string, signal: AbortSignal) => Promise<OpenedStream>;

const refusalLimit = 512;

export function streamPath(query: StreamQuery, index: string): string {
  const parameters = new URLSearchParams({ index, namespace: query.namespace });
  for (const topic of query.topics) parameters.append('topic', topic);
  if (query.region !== '') parameters.append('region', query.region);
  return `/v1/event/stream?${parameters.toString()}`;
}

/** The same text for the same set of events: a checkpoint made with another proves nothing about this stream. */
export function describeFilter({ topics, namespace, region }: StreamQuery): string {
  return `topics=${topics.toSorted().join(',')} namespace=${namespace} region=${region}`;
}

async function makeHeaders(access: NomadAccess, address: NomadAddress): Promise<Record<string, string>> {
  // n.b. older Nomads compress the stream with a flush per frame when asked to.
  const headers: Record<string, string> = { accept: 'application/json', 'accept-encoding': 'identity' };
  const token = access.tokenFile === null ? access.token : (await readFile(access.tokenFile, 'utf8')).trim();
  if (token !== null && token !== '') headers['x-nomad-token'] = token;
  const auth = address.auth ?? access.httpAuth;
  if (auth !== null) headers['authorization'] = `Basic ${Buffer.from(auth.includes(':') ? auth : `${auth}:`).toString('base64')}`;
  return headers;
}

async function makeClient(access: NomadAccess, address: NomadAddress): Promise<Client> {
  const { caFile, certFile, keyFile, serverName, skipVerify } = access;
  return new Client(address.origin, {
    // The source watches for silence itself, over connecting, head and body alike.
    headersTimeout: 0,
    bodyTimeout: 0,
    connect: {
      ...(address.socketPath === undefined ? {} : { socketPath: address.socketPath }),
      ...(caFile === null ? {} : { ca: await readFile(caFile) }),
      ...(certFile === null ? {} : { cert: await readFile(certFile) }),
      ...(keyFile === null ? {} : { key: await readFile(keyFile) }),
      ...(serverName === null ? {} : { servername: serverName }),
      rejectUnauthorized: !skipVerify,
    },
  });
}

/** n.b. undici has no code for it, only the parser's own words. */
function isInvalidVersion(thrown: unknown): boolean {
  if (errorCode(thrown) === 'HPE_INVALID_VERSION') return true;
  return thrown instanceof Error && thrown.name === 'HTTPParserError' && thrown.message.includes('Invalid HTTP version');
}

function describeFailure(thrown: unknown, address: NomadAddress): unknown {
  if (!isInvalidVersion(thrown)) return thrown;
  return new HydrantError(
    `Nomad at ${address.label} answers with "HTTP/0.0", which is no HTTP version: a defect of Nomad 1.11.2, 1.10.8 and 1.8.20, mended in 1.11.3, 1.10.9 and 1.8.21; upgrade the agent`,
    { code: 'nomad-http-version', retryable: true, cause: thrown },
  );
}

async function refuse(response: Dispatcher.ResponseData, address: NomadAddress): Promise<never> {
  let text = '';
  for await (const chunk of response.body as AsyncIterable<Buffer>) {
    text += chunk.toString();
    if (text.length >= refusalLimit) break;
  }
  throw new HydrantError(`Expected Nomad at ${address.label} to answer 200, got ${String(response.statusCode)}: ${text.slice(0, refusalLimit).trim()}`, {
    code: 'nomad-refused',
    retryable: true,
  });
}

export function createStreamOpener(access: NomadAccess, query: StreamQuery): OpenStream {
  return async (address, index, signal) => {
    const headers = await makeHeaders(access, address);
    const client = await makeClient(access, address);
    try {
      const response = await client.request({ method: 'GET', path: streamPath(query, index), headers, signal });
      if (response.statusCode !== 200) return await refuse(response, address);
      return { bytes: response.body as AsyncIterable<Buffer>, close: () => client.destroy() };
    } catch (thrown) {
      await client.destroy();
      throw describeFailure(thrown, address);
    }
  };
}
