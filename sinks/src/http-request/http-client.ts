/**
 * Sends one request and reads its answer. undici is loaded when a sink connects, not before. What answers mean is the sink's to say; no answer, or one that
 * broke off, is always worth another try.
 */
import { Readable } from 'node:stream';
import { doubtful, permanent, retryable, type SinkContext } from '@hydrant/shared/delivery/sink';
import { systemClock } from '@hydrant/shared/foundation/clock';
import { describeError, errorCode } from '@hydrant/shared/foundation/errors';
import { explainTls } from '@hydrant/shared/runtime/tls/explain-tls';
import { readTls } from '@hydrant/shared/runtime/tls/read-tls';
import type { Dispatcher, request } from 'undici';
import { agentOptions, isLoopback, type HttpAccess } from './http-access.ts';
import { byteLength, inPieces } from './in-pieces.ts';
import type { RequestTarget } from './request-target.ts';
import { retryAfterMs } from './retry-after.ts';

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

interface Client {
  readonly request: typeof request;
  readonly agent: Dispatcher;
}

const answerRead = 64 * 1024;
const answerShown = 200;

export class HttpClient {
  readonly #target: RequestTarget;
  readonly #access: HttpAccess;
  readonly #context: SinkContext;
  #client: Client | undefined;

  constructor(target: RequestTarget, access: HttpAccess, context: SinkContext) {
    this.#target = target;
    this.#access = access;
    this.#context = context;
  }

  /** Requests connect by themselves: an endpoint that is down is noticed by the first of them. Rejects (`tls-files`, retryable) when a certificate cannot be read. */
  async open(): Promise<void> {
    const { Agent, EnvHttpProxyAgent, request: send } = await import('undici');
    if (this.#client !== undefined) return;
    const { proxy, skipVerify, names, tls } = this.#access;
    if (skipVerify) {
      this.#context.log.warn({ sink: this.#context.name, setting: names.skipVerify, target: this.#target.shown }, 'Certificates are not verified: whoever stands between can read and change what is sent');
    }
    const options = agentOptions(readTls(tls), this.#access);
    const agent = proxy === undefined && isLoopback(this.#target.url) ? new Agent(options) : new EnvHttpProxyAgent(options);
    this.#client = { request: send, agent };
  }

  /** Rejects with a retryable error when there is no whole answer. */
  async send({ method, url = this.#target.url, headers, body, signal }: HttpRequest): Promise<HttpAnswer> {
    const inParts = body === undefined || Buffer.isBuffer(body) ? undefined : body;
    const length = inParts === undefined ? {} : { 'content-length': String(byteLength(inParts)) };
    const answer = await this.#request(url, {
      method,
      headers: { ...this.#target.headers, ...headers, ...length },
      body: inParts === undefined ? (body as Buffer | undefined) ?? null : Readable.from(inPieces(inParts), { objectMode: false }),
      signal,
    });
    try {
      const text = this.#target.hideSecrets((await readStart(answer.body)).toString('utf8')).trim();
      return { status: answer.statusCode, text, retryAfterMs: retryAfterMs(answer.headers['retry-after'], Date.parse(String(answer.headers.date))) };
    } catch (error) {
      throw retryable(`Expected ${this.#target.shown} to answer, its answer broke off`, undefined, error);
    }
  }

  async close(): Promise<void> {
    await this.#client?.agent.destroy();
    this.#client = undefined;
  }

  async #request(url: string, options: Omit<Dispatcher.RequestOptions, 'origin' | 'path'>) {
    if (this.#client === undefined) throw retryable('Expected the HTTP client to be connected, it is not');
    const { agent, request: send } = this.#client;
    try {
      return await send(url, { ...options, dispatcher: agent });
    } catch (error) {
      throw retryable(`Expected ${this.#target.shown} to answer, got ${this.#explain(error)}`, undefined, error);
    }
  }

  #explain(error: unknown): string {
    const { tls, names, proxy } = this.#access;
    const why = this.#target.url.startsWith('https:') ? explainTls(error, tls, systemClock.now()) : undefined;
    // n.b. a proxy that refuses is told apart by the client's own words alone.
    const refusal = /Proxy response \((\d+)\)|Proxy Authentication Required \((407)\)/u.exec(describeError(error));
    const status = refusal?.[1] ?? refusal?.[2];
    if (status !== undefined) return `${status} from the proxy of ${proxy === undefined ? 'HTTPS_PROXY or HTTP_PROXY' : names.proxy}${status === '407' ? '; put its user and password there' : ''}`;
    return `${errorCode(error) ?? 'an error'}${why === undefined ? '' : `; ${why}`}`;
  }
}

/** The beginning of an answer, read to its end so that the connection can serve again; an endless one is cut off. */
async function readStart(body: AsyncIterable<Buffer>): Promise<Buffer> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of body) {
    parts.push(part);
    bytes += part.length;
    if (bytes >= answerRead) break;
  }
  return Buffer.concat(parts);
}

/** `taken`, `retry` (it may work later) or `refused` (the same request will fare the same). */
export type HttpVerdict = 'taken' | 'retry' | 'refused';

/** For an API that never answers with a page: whoever does is a proxy or a sign-in page, and what was sent is not where it should be. */
export function judgeAnswer(answer: HttpAnswer, judgeStatus: (status: number) => HttpVerdict): HttpVerdict {
  const verdict = judgeStatus(answer.status);
  return verdict === 'taken' && /^<(?:!doctype|html)\b/iu.test(answer.text) ? 'retry' : verdict;
}

/** Undefined when the answer says that all was taken; otherwise what to throw. `what` was sent; `hint` is for whoever runs it. */
export function explainAnswer(verdict: HttpVerdict, answer: HttpAnswer, { target, what, hint }: { readonly target: RequestTarget; readonly what: string; readonly hint?: string | undefined }): Error | undefined {
  if (verdict === 'taken') return undefined;
  const answered = answer.text.slice(0, answerShown);
  const said = `Expected ${target.shown} to take ${what}, got ${String(answer.status)}${answered === '' ? '' : `: ${answered}`}${hint === undefined ? '' : ` (${hint})`}`;
  if (verdict === 'refused') return permanent(said);
  // Whoever says when to come again speaks of itself.
  return answer.status >= 500 && answer.retryAfterMs === undefined ? doubtful(said) : retryable(said, answer.retryAfterMs);
}

/** For a health check that can only ask whether somebody answers: throws when that is a server error. */
export function expectAnybody(answer: HttpAnswer, asked: { readonly target: RequestTarget; readonly what: string }): void {
  const failure = explainAnswer(answer.status >= 500 ? 'retry' : 'taken', answer, asked);
  if (failure !== undefined) throw failure;
}
