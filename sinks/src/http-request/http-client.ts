/**
 * Sends one request and reads its answer. What answers mean is the sink's to say; no answer, or one that broke off, is
 * always worth another try. Of Node.js itself: undici gives up an answer that a `100 Continue` comes before, or a 204
 * with a length, and the same batch again, for ever.
 */
import { request as requestHttp, type IncomingHttpHeaders, type IncomingMessage, type RequestOptions } from 'node:http';
import { request as requestHttps } from 'node:https';
import { pipeline, Readable } from 'node:stream';
import { doubtful, permanent, retryable, type SinkContext } from '@hydrant/shared/delivery/sink';
import { systemClock } from '@hydrant/shared/foundation/clock';
import { describeError, errorCode } from '@hydrant/shared/foundation/errors';
import type { ProxyAgents } from '@hydrant/shared/runtime/proxy/proxy-agents';
import { explainTls } from '@hydrant/shared/runtime/tls/explain-tls';
import { readTls } from '@hydrant/shared/runtime/tls/read-tls';
import { createAgents, type HttpAccess } from './http-access.ts';
import { byteLength, inPieces } from './in-pieces.ts';
import type { RequestTarget } from './request-target.ts';
import { parseHttpDate, retryAfterMs } from './retry-after.ts';

export interface HttpRequest {
  readonly method: 'POST' | 'OPTIONS' | 'GET' | 'HEAD';
  /** Default: that of the target. */
  readonly url?: string;
  /** Beside those of the target. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Whole, or in parts that belong together. */
  readonly body?: Buffer | readonly Buffer[];
  readonly signal: AbortSignal;
}

export interface HttpAnswer {
  readonly status: number;
  /** The beginning of the body, without what the settings keep secret. */
  readonly text: string;
  /** What the destination asked for with `Retry-After`. */
  readonly retryAfterMs: number | undefined;
}

interface RawAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly start: Buffer;
}

const answerRead = 64 * 1024;
const answerShown = 200;
const badRequest = 400;
/** What Go, nginx and Apache say with a 400 of the connection, not of what was sent. */
const wants = [
  {
    words: /HTTP request (?:was sent )?to (?:an )?HTTPS (?:port|server)|speaking plain HTTP to an SSL-enabled/iu,
    what: 'TLS: make the address one of https://',
  },
  {
    words: /No required SSL certificate was sent|The SSL certificate error/iu,
    what: 'a client certificate that it trusts',
  },
] as const;

export class HttpClient {
  readonly #target: RequestTarget;
  readonly #access: HttpAccess;
  readonly #context: SinkContext;
  #agents: ProxyAgents | undefined;

  constructor(target: RequestTarget, access: HttpAccess, context: SinkContext) {
    this.#target = target;
    this.#access = access;
    this.#context = context;
  }

  /**
   * Requests connect by themselves: an endpoint that is down is noticed by the first of them. Throws (`tls-files`,
   * retryable) when a certificate cannot be read.
   */
  async open(): Promise<void> {
    if (this.#agents !== undefined) return;
    const { skipVerify, names, tls } = this.#access;
    if (skipVerify) {
      this.#context.log.warn(
        { sink: this.#context.name, setting: names.skipVerify, target: this.#target.shown },
        'Certificates are not verified: whoever stands between can read and change what is sent',
      );
    }
    this.#agents = await Promise.resolve(createAgents(readTls(tls), this.#access));
  }

  /** Rejects with a retryable error when there is no whole answer. */
  async send({ method, url = this.#target.url, headers, body = [], signal }: HttpRequest): Promise<HttpAnswer> {
    const agents = this.#agents;
    if (agents === undefined) throw retryable('Expected the HTTP client to be connected, it is not');
    const parts = Buffer.isBuffer(body) ? [body] : body;
    const length = method === 'POST' ? { 'content-length': String(byteLength(parts)) } : {};
    const agent = url.startsWith('https:') ? agents.https : agents.http;
    let answer: RawAnswer;
    try {
      answer = await exchange(
        url,
        { method, headers: { ...this.#target.headers, ...headers, ...length }, agent, signal },
        parts,
      );
    } catch (error) {
      throw retryable(this.#explain(error), undefined, error);
    }
    const nowMs = systemClock.now();
    const wanted =
      answer.status === badRequest ? wants.find(({ words }) => words.test(answer.start.toString('latin1'))) : undefined;
    if (wanted !== undefined)
      throw retryable(`Expected ${this.#target.shown} to take a request, it wants ${wanted.what}`);
    const text = this.#target.hideSecrets(answer.start.toString('utf8')).trim();
    return {
      status: answer.status,
      text,
      retryAfterMs: retryAfterMs(answer.headers['retry-after'], parseHttpDate(answer.headers.date, nowMs) ?? nowMs),
    };
  }

  close(): Promise<void> {
    this.#agents?.destroy();
    this.#agents = undefined;
    return Promise.resolve();
  }

  #explain(error: unknown): string {
    if (errorCode(error) === 'proxy-refused') return describeError(error);
    const why = this.#target.url.startsWith('https:')
      ? explainTls(error, this.#access.tls, systemClock.now())
      : undefined;
    return `Expected ${this.#target.shown} to answer, got ${errorCode(error) ?? 'an error'}${why === undefined ? '' : `; ${why}`}`;
  }
}

/**
 * Resolves when the answer is whole. n.b. what breaks behind it is of no interest: a server that says more than it
 * should has taken the request all the same.
 */
function exchange(url: string, options: RequestOptions, parts: readonly Buffer[]): Promise<RawAnswer> {
  return new Promise((resolve, reject) => {
    const asked = (url.startsWith('https:') ? requestHttps : requestHttp)(url, options);
    let isAnswered = false;
    asked.once('response', (response) => {
      isAnswered = true;
      readStart(response).then((start) => {
        resolve({ status: response.statusCode ?? 0, headers: response.headers, start });
        // What has not been sent by now nobody wants any more.
        if (!asked.writableFinished) asked.destroy();
      }, reject);
    });
    const onFailure = (error: Error): void => {
      if (!isAnswered) reject(error);
    };
    asked.on('error', onFailure);
    asked.once('close', () => {
      onFailure(Object.assign(new Error('Expected an answer, the connection was closed'), { code: 'ECONNRESET' }));
    });
    asked.once('upgrade', (_response, socket) => {
      socket.destroy();
      onFailure(
        Object.assign(new Error('Expected an answer, got a switch of protocols'), { code: '101 Switching Protocols' }),
      );
    });
    pipeline(Readable.from(inPieces(parts), { objectMode: false }), asked, () => undefined);
  });
}

/** The beginning of an answer, read to its end so that the connection can serve again; an endless one is cut off. */
async function readStart(body: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of body as AsyncIterable<Buffer>) {
    parts.push(part);
    bytes += part.length;
    if (bytes >= answerRead) break;
  }
  return Buffer.concat(parts);
}

/** `taken`, `retry` (it may work later) or `refused` (the same request will fare the same). */
export type HttpVerdict = 'taken' | 'retry' | 'refused';

/**
 * For an API that never answers with a page: whoever does is a proxy or a sign-in page, and what was sent is not where
 * it should be.
 */
export function judgeAnswer(answer: HttpAnswer, judgeStatus: (status: number) => HttpVerdict): HttpVerdict {
  const verdict = judgeStatus(answer.status);
  return verdict === 'taken' && /^<(?:!doctype|html)\b/iu.test(answer.text) ? 'retry' : verdict;
}

/**
 * Undefined when the answer says that all was taken; otherwise what to throw. `what` was sent; `hint` is for whoever
 * runs it.
 */
export function explainAnswer(
  verdict: HttpVerdict,
  answer: HttpAnswer,
  { target, what, hint }: { readonly target: RequestTarget; readonly what: string; readonly hint?: string | undefined },
): Error | undefined {
  if (verdict === 'taken') return undefined;
  const answered = answer.text.slice(0, answerShown);
  const said = `Expected ${target.shown} to take ${what}, got ${String(answer.status)}${answered === '' ? '' : `: ${answered}`}${hint === undefined ? '' : ` (${hint})`}`;
  if (verdict === 'refused') return permanent(said);
  // Whoever says when to come again speaks of itself.
  return answer.status >= 500 && answer.retryAfterMs === undefined
    ? doubtful(said)
    : retryable(said, answer.retryAfterMs);
}

/** For a health check that can only ask whether somebody answers: throws when that is a server error. */
export function expectAnybody(
  answer: HttpAnswer,
  asked: { readonly target: RequestTarget; readonly what: string },
): void {
  const failure = explainAnswer(answer.status >= 500 ? 'retry' : 'taken', answer, asked);
  if (failure !== undefined) throw failure;
}
