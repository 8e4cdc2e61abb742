/**
 * Posts batches to an HTTP endpoint: a JSON array, NDJSON, CloudEvents, or one request per message. Any 2xx means taken; which other statuses are
 * tried again is a setting, the rest is refused for good.
 */
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { partial, permanent, retryable, type Batch, type PartialFailure, type Sink, type SinkDefinition } from '@hydrant/shared/delivery/sink';
import { describeError, errorCode, isRetryable } from '@hydrant/shared/foundation/errors';
import { bool, list, oneOf, text, url } from '@hydrant/shared/runtime/config/formats';
import type { Schema, Values } from '@hydrant/shared/runtime/config/setting';
import type { Agent, Dispatcher, request } from 'undici';
import { contentTypes, encodeBatch, encodedBytes, type HttpFormat } from './http-request/encode-batch.ts';
import { idempotencyKey } from './http-request/idempotency-key.ts';
import { headerProblems, makeTarget, type RequestTarget } from './http-request/request-headers.ts';
import { retryAfterMs } from './http-request/retry-after.ts';

const settings = {
  SINK_HTTP_ADDRESS: { doc: 'Endpoint that batches are posted to; may hold user and password.', format: url(['http:', 'https:']), default: null, required: true, example: 'https://collector.example/events' },
  SINK_HTTP_FORMAT: { doc: 'Body of a request: a JSON array, NDJSON, one request per message, or a CloudEvents batch.', format: oneOf(['array', 'ndjson', 'single', 'cloudevents']), default: 'array' },
  SINK_HTTP_GZIP: { doc: 'Whether bodies are compressed.', format: bool, default: false },
  SINK_HTTP_HEADERS: { doc: 'Headers of every request, `Name: value` separated by commas.', format: list, default: null, sensitive: true, example: 'X-Tenant: team-a' },
  SINK_HTTP_BEARER_TOKEN: { doc: 'Token of the Authorization header.', format: text, default: null, sensitive: true },
  SINK_HTTP_BASIC_AUTH: { doc: 'User and password of the Authorization header, `user:password`.', format: text, default: null, sensitive: true },
  SINK_HTTP_RETRY_STATUSES: { doc: 'Statuses that are tried again, separated by commas; `5xx` is all from 500 to 599.', format: list, default: '408,425,429,5xx' },
} as const satisfies Schema;

type HttpValues = Values<typeof settings>;

interface Client {
  readonly request: typeof request;
  readonly agent: Agent;
}

const compress = promisify(gzip);
const answerShown = 200;
const answerRead = 64 * 1024;

class HttpSink implements Sink {
  readonly #values: HttpValues;
  readonly #target: RequestTarget;
  #client: Client | undefined;

  constructor(values: HttpValues) {
    this.#values = values;
    this.#target = makeTarget(values);
  }

  /** Requests connect by themselves: an endpoint that is down is noticed by the first of them. */
  async connect(): Promise<void> {
    const undici = await import('undici');
    // n.b. undici's own limits would end a slow answer before SINK_TIMEOUT does.
    this.#client ??= { request: undici.request, agent: new undici.Agent({ headersTimeout: 0, bodyTimeout: 0 }) };
  }

  write(batch: Batch, signal: AbortSignal): Promise<void> {
    const format = this.#values.SINK_HTTP_FORMAT;
    return format === 'single' && batch.length > 1 ? this.#postEach(batch, signal) : this.#post(batch, format, signal);
  }

  async healthcheck(signal: AbortSignal): Promise<void> {
    const { body } = await this.#send({ method: 'OPTIONS', headers: this.#target.headers, signal });
    await readStart(body);
  }

  async close(): Promise<void> {
    await this.#client?.agent.destroy();
    this.#client = undefined;
  }

  /** One after the other, which keeps the order; the first that has to be tried again ends the round. */
  async #postEach(batch: Batch, signal: AbortSignal): Promise<void> {
    const failures: PartialFailure[] = [];
    let afterMs: number | undefined;
    for (const [index, message] of batch.entries()) {
      try {
        await this.#post([message], 'single', signal);
      } catch (error) {
        const reason = describeError(error);
        failures.push({ index, reason, retryable: isRetryable(error) });
        if (!isRetryable(error)) continue;
        afterMs = errorCode(error) === 'sink-retryable' ? (error as ReturnType<typeof retryable>).retryAfterMs : undefined;
        for (let rest = index + 1; rest < batch.length; rest += 1) failures.push({ index: rest, reason, retryable: true });
        break;
      }
    }
    if (failures.length > 0) throw partial(`${String(failures.length)} of ${String(batch.length)} messages were not taken`, failures, afterMs);
  }

  async #post(batch: Batch, format: HttpFormat, signal: AbortSignal): Promise<void> {
    const plain = encodeBatch(batch, format);
    const isGzip = this.#values.SINK_HTTP_GZIP;
    const headers = {
      ...this.#target.headers,
      'content-type': contentTypes[format],
      'idempotency-key': idempotencyKey(batch),
      ...(isGzip ? { 'content-encoding': 'gzip' } : {}),
    };
    const answer = await this.#send({ method: 'POST', headers, body: isGzip ? await compress(plain) : plain, signal });
    const answered = await this.#readAnswer(answer.body);
    const status = answer.statusCode;
    if (status >= 200 && status < 300) return;
    const said = `Expected ${this.#target.shown} to take ${batch.length === 1 ? 'a message' : `${String(batch.length)} messages`}, got ${String(status)}${answered === '' ? '' : `: ${answered}`}`;
    if (this.#isRetried(status)) throw retryable(said, retryAfterMs(answer.headers['retry-after'], Date.parse(String(answer.headers.date))));
    if (status >= 300 && status < 400) throw permanent(`${said} (redirects are not followed: set SINK_HTTP_ADDRESS to the final address)`);
    throw permanent(said);
  }

  async #send(options: Pick<Dispatcher.RequestOptions, 'method' | 'headers'> & { readonly body?: Buffer; readonly signal: AbortSignal }) {
    if (this.#client === undefined) throw retryable('Expected the HTTP sink to be connected, it is not');
    const { agent, request: send } = this.#client;
    try {
      return await send(this.#target.url, { ...options, dispatcher: agent });
    } catch (error) {
      throw retryable(`Expected ${this.#target.shown} to answer, got ${errorCode(error) ?? 'an error'}`, undefined, error);
    }
  }

  async #readAnswer(body: AsyncIterable<Buffer>): Promise<string> {
    try {
      return this.#target.hideSecrets((await readStart(body)).toString('utf8')).trim().slice(0, answerShown);
    } catch (error) {
      throw retryable(`Expected ${this.#target.shown} to answer, its answer broke off`, undefined, error);
    }
  }

  #isRetried(status: number): boolean {
    const statuses = this.#values.SINK_HTTP_RETRY_STATUSES;
    return statuses.includes(String(status)) || statuses.includes(`${String(Math.floor(status / 100))}xx`);
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

function check(values: HttpValues): readonly string[] {
  const wrong = values.SINK_HTTP_RETRY_STATUSES.filter((status) => !/^[1-5](?:\d\d|xx)$/u.test(status));
  return [
    ...headerProblems(values),
    ...wrong.map((status) => `Expected \`SINK_HTTP_RETRY_STATUSES\` to hold statuses such as "429" or "5xx", got "${status}"`),
  ];
}

export const httpSink: SinkDefinition<typeof settings> = {
  type: 'http',
  settings,
  defaults: { batchEvents: 500, batchBytes: 4 * 1024 * 1024, batchAgeMs: 1000 },
  encodedBytes: (message, values) => encodedBytes(message, values.SINK_HTTP_FORMAT),
  check,
  create: (values) => new HttpSink(values),
};
