/**
 * Posts batches to an HTTP endpoint: a JSON array, NDJSON, CloudEvents, or one request per message. Any 2xx means taken; which other statuses are
 * tried again is a setting, the rest is refused for good.
 */
import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { partial, permanent, retryable, type Batch, type Sink, type SinkDefinition } from '@hydrant/shared/delivery/sink';
import { describeError, errorCode, isRetryable } from '@hydrant/shared/foundation/errors';
import { bool, list, oneOf, text, url } from '@hydrant/shared/runtime/config/formats';
import { maskUrl } from '@hydrant/shared/runtime/config/mask-url';
import type { Schema, Values } from '@hydrant/shared/runtime/config/setting';
import { Agent, request } from 'undici';
import { contentTypes, encodeBatch, type HttpFormat } from './http-request/encode-batch.ts';
import { retryAfterMs } from './http-request/retry-after.ts';

const settings = {
  SINK_HTTP_ADDRESS: { doc: 'Endpoint that batches are posted to.', format: url(['http:', 'https:']), default: null, required: true, example: 'https://collector.example/events' },
  SINK_HTTP_FORMAT: { doc: 'Body of a request: a JSON array, NDJSON, one request per message, or a CloudEvents batch.', format: oneOf(['array', 'ndjson', 'single', 'cloudevents']), default: 'array' },
  SINK_HTTP_GZIP: { doc: 'Whether bodies are compressed.', format: bool, default: false },
  SINK_HTTP_HEADERS: { doc: 'Headers of every request, `Name: value` separated by commas.', format: list, default: null, sensitive: true, example: 'X-Tenant: team-a' },
  SINK_HTTP_BEARER_TOKEN: { doc: 'Token of the Authorization header.', format: text, default: null, sensitive: true },
  SINK_HTTP_BASIC_AUTH: { doc: 'User and password of the Authorization header, `user:password`.', format: text, default: null, sensitive: true },
  SINK_HTTP_RETRY_STATUSES: { doc: 'Statuses that are tried again, separated by commas; `5xx` is all from 500.', format: list, default: '408,425,429,5xx' },
} as const satisfies Schema;

type HttpValues = Values<typeof settings>;

const compress = promisify(gzip);
const answerKept = 200;

class HttpSink implements Sink {
  readonly #values: HttpValues;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #address: string;
  /** n.b. undici's own limits would end a slow answer before SINK_TIMEOUT does. */
  readonly #agent = new Agent({ headersTimeout: 0, bodyTimeout: 0 });

  constructor(values: HttpValues) {
    this.#values = values;
    this.#headers = makeHeaders(values);
    this.#address = maskUrl(values.SINK_HTTP_ADDRESS);
  }

  async connect(): Promise<void> {
    // Requests connect by themselves; an endpoint that is down is noticed by the first of them.
  }

  async write(batch: Batch, signal: AbortSignal): Promise<void> {
    if (this.#values.SINK_HTTP_FORMAT !== 'single') {
      await this.#post(batch, this.#values.SINK_HTTP_FORMAT, signal);
      return;
    }
    const results = await Promise.allSettled(batch.map((message) => this.#post([message], 'single', signal)));
    const failures = results.flatMap((result, index) => (result.status === 'rejected' ? [{ index, reason: describeError(result.reason), retryable: isRetryable(result.reason) }] : []));
    if (failures.length > 0) throw partial(`${String(failures.length)} of ${String(batch.length)} requests failed`, failures);
  }

  async healthcheck(signal: AbortSignal): Promise<void> {
    const answer = await request(this.#values.SINK_HTTP_ADDRESS, { method: 'OPTIONS', dispatcher: this.#agent, headers: this.#headers, signal });
    await answer.body.dump();
  }

  async close(): Promise<void> {
    await this.#agent.destroy();
  }

  async #post(batch: Batch, format: HttpFormat, signal: AbortSignal): Promise<void> {
    const plain = encodeBatch(batch, format);
    const isGzip = this.#values.SINK_HTTP_GZIP;
    const headers = {
      ...this.#headers,
      'content-type': contentTypes[format],
      'idempotency-key': idempotencyKey(batch),
      ...(isGzip ? { 'content-encoding': 'gzip' } : {}),
    };
    const answer = await this.#send(isGzip ? await compress(plain) : plain, headers, signal);
    if (answer.status >= 200 && answer.status < 300) return;
    const said = `Expected ${this.#address} to take ${String(batch.length)} messages, got ${String(answer.status)}${answer.text === '' ? '' : `: ${answer.text}`}`;
    if (this.#isRetried(answer.status)) throw retryable(said, answer.retryAfterMs);
    if (answer.status >= 300 && answer.status < 400) throw permanent(`${said} (redirects are not followed: set SINK_HTTP_ADDRESS to ${answer.location ?? 'the final address'})`);
    throw permanent(said);
  }

  async #send(body: Buffer, headers: Readonly<Record<string, string>>, signal: AbortSignal) {
    try {
      const answer = await request(this.#values.SINK_HTTP_ADDRESS, { method: 'POST', dispatcher: this.#agent, headers, body, signal });
      const kept = await readStart(answer.body);
      return { status: answer.statusCode, text: kept, retryAfterMs: retryAfterMs(answer.headers['retry-after'], Date.parse(String(answer.headers.date))), location: headerText(answer.headers.location) };
    } catch (error) {
      throw retryable(`Expected ${this.#address} to answer, got ${errorCode(error) ?? 'an error'}`, undefined, error);
    }
  }

  #isRetried(status: number): boolean {
    const statuses = this.#values.SINK_HTTP_RETRY_STATUSES;
    return statuses.includes(String(status)) || (status >= 500 && statuses.includes('5xx'));
  }
}

function headerText(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value;
}

/** The beginning of an answer; the rest is read and thrown away, so that the connection can serve again. */
async function readStart(body: AsyncIterable<Buffer>): Promise<string> {
  let kept = '';
  for await (const part of body) if (kept.length < answerKept) kept += part.toString('utf8');
  return kept.slice(0, answerKept).trim();
}

function makeHeaders(values: HttpValues): Readonly<Record<string, string>> {
  const headers: Record<string, string> = { 'user-agent': 'hydrant' };
  for (const line of values.SINK_HTTP_HEADERS ?? []) {
    const at = line.indexOf(':');
    if (at > 0) headers[line.slice(0, at).trim().toLowerCase()] = line.slice(at + 1).trim();
  }
  if (values.SINK_HTTP_BEARER_TOKEN !== null) headers['authorization'] = `Bearer ${values.SINK_HTTP_BEARER_TOKEN}`;
  if (values.SINK_HTTP_BASIC_AUTH !== null) headers['authorization'] = `Basic ${Buffer.from(values.SINK_HTTP_BASIC_AUTH).toString('base64')}`;
  return headers;
}

/** The same for the same batch, so that a retry can be told from a new one. */
function idempotencyKey(batch: Batch): string {
  const hash = createHash('sha256');
  for (const message of batch) hash.update(message.id).update('\n');
  return hash.digest('hex').slice(0, 32);
}

function check(values: HttpValues): readonly string[] {
  const problems = (values.SINK_HTTP_HEADERS ?? []).filter((line) => line.indexOf(':') < 1).map(() => 'Expected `SINK_HTTP_HEADERS` to hold headers as `Name: value`, got one without a colon');
  if (values.SINK_HTTP_BEARER_TOKEN !== null && values.SINK_HTTP_BASIC_AUTH !== null) problems.push('Expected either `SINK_HTTP_BEARER_TOKEN` or `SINK_HTTP_BASIC_AUTH`, got both');
  return problems;
}

export const httpSink: SinkDefinition<typeof settings> = {
  type: 'http',
  settings,
  defaults: { batchEvents: 500, batchBytes: 4 * 1024 * 1024, batchAgeMs: 1000 },
  check,
  create: (values) => new HttpSink(values),
};
