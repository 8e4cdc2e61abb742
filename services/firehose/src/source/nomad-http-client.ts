/**
 * The one place that speaks HTTP to Nomad: the stream, the lists, the namespace watch and the probes go through it. It
 * knows connections, not what an answer means. Each request has a connection of its own, for which token and
 * certificates are read anew.
 */
import { HydrantError, toError } from '@hydrant/shared/foundation/errors';
import { chooseProxy, noProxies, type Peer, type ProxyRules } from '@hydrant/shared/runtime/proxy/choose-proxy';
import { openTunnel } from '@hydrant/shared/runtime/proxy/open-tunnel';
import type { IncomingMessage } from 'node:http';
import { Client, type Dispatcher } from 'undici';
import type { NomadAddress } from './address.ts';
import { openHttpStream } from './http-stream.ts';
import { readCredentials, type Credentials, type NomadAccess } from './nomad-access.ts';
import { answerWords, describeFailure, isHtml, pageInstead, refusal, type NomadAnswer } from './nomad-failure.ts';

export interface RequestLimits {
  /**
   * How long Nomad may say nothing, before its answer and within it. Default 30 s; a blocking query needs its `wait`
   * and a sixteenth on top.
   */
  readonly silentMs?: number;
  /** Most bytes of the answer. Default 256 MiB. */
  readonly maxBytes?: number;
}

export interface NomadStream {
  /** Ends or throws when the connection ends; neither says why Nomad ended it. */
  readonly bytes: AsyncIterable<Buffer>;
  close(): void;
}

/**
 * All reject with the reason of `signal`, or with a retryable HydrantError that names address and remedy:
 * `nomad-unreachable`, `nomad-silent`, `nomad-tls`, `nomad-http`, `nomad-http-version`, `nomad-credentials`,
 * `nomad-answer-too-large`. Any number may run at once. `path` begins with `/v1/`.
 */
export interface NomadClient {
  /** GET. Resolves with the whole answer, whatever its status. */
  request(address: NomadAddress, path: string, signal: AbortSignal, limits?: RequestLimits): Promise<NomadAnswer>;
  /**
   * As `request`, but rejects with `nomad-refused` unless the answer is 200, and with `nomad-html` when it is a page.
   */
  get(address: NomadAddress, path: string, signal: AbortSignal, limits?: RequestLimits): Promise<NomadAnswer>;
  /**
   * Resolves when Nomad has answered 200; rejects as `get`. Silence is the caller's to watch for: there is no limit but
   * that of connecting.
   */
  stream(address: NomadAddress, path: string, signal: AbortSignal): Promise<NomadStream>;
}

const defaults = { silentMs: 30_000, maxBytes: 256 * 1024 * 1024 };
const refusalBytes = 16 * 1024;

function makeClient({ tls }: Credentials, { origin, socketPath }: NomadAddress, proxies: ProxyRules): Client {
  const direct = { ...tls, ...(socketPath === undefined ? {} : { socketPath }) };
  const { protocol, hostname, port } = new URL(origin);
  const peer: Peer = {
    protocol: protocol === 'https:' ? 'https:' : 'http:',
    host: hostname,
    port: Number(port || (protocol === 'https:' ? 443 : 80)),
  };
  const proxy = socketPath === undefined ? chooseProxy(proxies, peer) : undefined;
  if (proxy === undefined) return new Client(origin, { connect: direct });
  return new Client(origin, {
    connect(_options, callback) {
      openTunnel(proxy, peer, { tls, proxyCa: tls.ca }).then(
        (socket) => {
          callback(null, socket);
        },
        (error: unknown) => {
          callback(toError(error), null);
        },
      );
    },
  });
}

function plainHeaders(
  headers: Dispatcher.ResponseData['headers'] | IncomingMessage['headers'],
): NomadAnswer['headers'] {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name, Array.isArray(value) ? value.join(', ') : value]),
  );
}

/** Reads up to `maxBytes`; what is longer ends there, or throws. */
async function readBody(
  body: AsyncIterable<Buffer>,
  maxBytes: number,
  tooLarge: 'cut' | (() => HydrantError),
): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of body) {
    chunks.push(chunk);
    length += chunk.length;
    if (length <= maxBytes) continue;
    if (tooLarge !== 'cut') throw tooLarge();
    break;
  }
  return Buffer.concat(chunks).subarray(0, maxBytes);
}

class UndiciNomadClient implements NomadClient {
  readonly #access: NomadAccess;

  constructor(access: NomadAccess) {
    this.#access = access;
  }

  async request(
    address: NomadAddress,
    path: string,
    signal: AbortSignal,
    limits: RequestLimits = {},
  ): Promise<NomadAnswer> {
    const credentials = await readCredentials(this.#access, address);
    return this.#read(credentials, address, path, signal, limits);
  }

  async get(
    address: NomadAddress,
    path: string,
    signal: AbortSignal,
    limits: RequestLimits = {},
  ): Promise<NomadAnswer> {
    const credentials = await readCredentials(this.#access, address);
    const answer = await this.#read(credentials, address, path, signal, limits);
    if (answer.status !== 200) throw refusal(answer, address);
    if (isHtml(answer)) throw pageInstead(answer, address, credentials.secrets);
    return answer;
  }

  async stream(address: NomadAddress, path: string, signal: AbortSignal): Promise<NomadStream> {
    const credentials = await readCredentials(this.#access, address);
    let answering: IncomingMessage | undefined;
    try {
      answering = await openHttpStream(credentials, address, path, signal, this.#access.proxies);
      const head = {
        status: answering.statusCode ?? 0,
        headers: plainHeaders(answering.headers),
        body: Buffer.alloc(0),
      };
      const isPage = isHtml(head);
      if (head.status !== 200 || isPage) {
        const answer = { ...head, body: await readBody(answering, refusalBytes, 'cut') };
        if (head.status === 200) throw pageInstead(answer, address, credentials.secrets);
        throw refusal({ ...answer, words: answerWords(answer, credentials.secrets) }, address);
      }
      const response = answering;
      return {
        bytes: response as AsyncIterable<Buffer>,
        close: () => {
          response.destroy();
        },
      };
    } catch (thrown) {
      answering?.destroy();
      throw signal.aborted ? signal.reason : describeFailure(thrown, address);
    }
  }

  async #read(
    credentials: Credentials,
    address: NomadAddress,
    path: string,
    signal: AbortSignal,
    limits: RequestLimits,
  ): Promise<NomadAnswer> {
    const { silentMs, maxBytes } = { ...defaults, ...limits };
    const client = makeClient(credentials, address, this.#access.proxies ?? noProxies);
    const tooLarge = (): HydrantError =>
      new HydrantError(
        `Expected Nomad at ${address.label} to answer ${path} with at most ${String(maxBytes)} bytes, got more`,
        { code: 'nomad-answer-too-large', retryable: true },
      );
    try {
      const response = await client.request({
        method: 'GET',
        path,
        headers: credentials.headers,
        signal,
        headersTimeout: silentMs,
        bodyTimeout: silentMs,
      });
      const answer = {
        status: response.statusCode,
        headers: plainHeaders(response.headers),
        body: await readBody(response.body as AsyncIterable<Buffer>, maxBytes, tooLarge),
      };
      return { ...answer, words: answer.status === 200 ? '' : answerWords(answer, credentials.secrets) };
    } catch (thrown) {
      throw signal.aborted ? signal.reason : describeFailure(thrown, address, silentMs);
    } finally {
      await client.destroy();
    }
  }
}

export function createNomadClient(access: NomadAccess): NomadClient {
  return new UndiciNomadClient(access);
}
