/**
 * Posts batches to an HTTP endpoint: a JSON array, NDJSON, CloudEvents, or one request per message. Any 2xx means
 * taken; which other statuses are tried again is a setting, the rest is refused for good.
 */
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import type { Batch, Sink, SinkContext, SinkDefinition } from '@hydrant/shared/delivery/sink';
import { systemClock } from '@hydrant/shared/foundation/clock';
import { bool, list, oneOf, text, url } from '@hydrant/shared/runtime/config/formats';
import type { Schema, Values } from '@hydrant/shared/runtime/config/setting';
import { encodeOrRefuse } from './encoding/encode-or-refuse.ts';
import { contentTypes, encodeBatch, encodedBytes, type HttpFormat } from './http-request/encode-batch.ts';
import { accessProblems, accessSettings, readAccess } from './http-request/http-access.ts';
import { explainAnswer, HttpClient, type HttpVerdict } from './http-request/http-client.ts';
import { idempotencyKey } from './http-request/idempotency-key.ts';
import {
  makeTarget,
  targetProblems,
  type RequestTarget,
  type TargetOptions,
  type TargetSettings,
} from './http-request/request-target.ts';
import { sendEach } from './http-request/send-each.ts';
import { secretProblems, signWebhook } from './http-request/sign-webhook.ts';

const settings = {
  SINK_HTTP_ADDRESS: {
    doc: 'Endpoint that batches are posted to; may hold user and password.',
    format: url(['http:', 'https:']),
    default: null,
    required: true,
    example: 'https://collector.example/events',
  },
  SINK_HTTP_FORMAT: {
    doc: 'Body of a request: a JSON array, NDJSON, one request per message, or a CloudEvents batch.',
    format: oneOf(['array', 'ndjson', 'single', 'cloudevents']),
    default: 'array',
  },
  SINK_HTTP_GZIP: { doc: 'Whether bodies are compressed.', format: bool, default: false },
  SINK_HTTP_HEADERS: {
    doc: 'Headers of every request, `Name: value` separated by commas.',
    format: list,
    default: null,
    sensitive: true,
    example: 'X-Tenant: team-a',
  },
  SINK_HTTP_BEARER_TOKEN: { doc: 'Token of the Authorization header.', format: text, default: null, sensitive: true },
  SINK_HTTP_BASIC_AUTH: {
    doc: 'User and password of the Authorization header, `user:password`.',
    format: text,
    default: null,
    sensitive: true,
  },
  SINK_HTTP_SIGNING_SECRET: {
    doc: 'Secret that requests are signed with by Standard Webhooks, `whsec_` and base64; several separated by commas while it is being changed.',
    format: list,
    default: null,
    sensitive: true,
  },
  ...accessSettings('SINK_HTTP', 'the endpoint'),
  SINK_HTTP_RETRY_STATUSES: {
    doc: 'Statuses that are tried again, separated by commas; `5xx` is all from 500 to 599.',
    format: list,
    default: '408,425,429,5xx',
  },
} as const satisfies Schema;

type HttpValues = Values<typeof settings>;

const compress = promisify(gzip);
const redirectHint = 'redirects are not followed: set SINK_HTTP_ADDRESS to the final address';
const names: TargetSettings = {
  address: 'SINK_HTTP_ADDRESS',
  headers: 'SINK_HTTP_HEADERS',
  bearerToken: 'SINK_HTTP_BEARER_TOKEN',
  basicAuth: 'SINK_HTTP_BASIC_AUTH',
};

function targetOptions(values: HttpValues): TargetOptions {
  return {
    address: values.SINK_HTTP_ADDRESS,
    headers: values.SINK_HTTP_HEADERS,
    bearerToken: values.SINK_HTTP_BEARER_TOKEN,
    basicAuth: values.SINK_HTTP_BASIC_AUTH,
  };
}

class HttpSink implements Sink {
  readonly #values: HttpValues;
  readonly #target: RequestTarget;
  readonly #client: HttpClient;

  constructor(values: HttpValues, context: SinkContext) {
    this.#values = values;
    this.#target = makeTarget(targetOptions(values));
    this.#client = new HttpClient(this.#target, readAccess(values, 'SINK_HTTP'), context);
  }

  connect(): Promise<void> {
    return this.#client.open();
  }

  write(batch: Batch, signal: AbortSignal): Promise<void> {
    const format = this.#values.SINK_HTTP_FORMAT;
    return format === 'single'
      ? sendEach(batch, (message) => this.#post([message], format, signal))
      : this.#post(batch, format, signal);
  }

  async healthcheck(signal: AbortSignal): Promise<void> {
    const answer = await this.#client.send({ method: 'OPTIONS', signal });
    const problem = judgeProbe(answer.status);
    if (problem === undefined) return;
    const failure = explainAnswer('retry', answer, { target: this.#target, what: 'OPTIONS', hint: problem });
    if (failure !== undefined) throw failure;
  }

  close(): Promise<void> {
    return this.#client.close();
  }

  async #post(batch: Batch, format: HttpFormat, signal: AbortSignal): Promise<void> {
    const isGzip = this.#values.SINK_HTTP_GZIP;
    const { parts, id } = encodeOrRefuse(() => ({ parts: encodeBatch(batch, format), id: idempotencyKey(batch) }));
    const secrets = this.#values.SINK_HTTP_SIGNING_SECRET;
    const whole = isGzip || secrets !== null ? Buffer.concat(parts) : undefined;
    const body = isGzip && whole !== undefined ? await compress(whole) : whole;
    const headers = {
      ...('content-type' in this.#target.headers ? {} : { 'content-type': contentTypes[format] }),
      'idempotency-key': id,
      ...(isGzip ? { 'content-encoding': 'gzip' } : {}),
      ...(secrets === null || body === undefined ? {} : signWebhook(secrets, { id, nowMs: systemClock.now(), body })),
    };
    const answer = await this.#client.send({ method: 'POST', headers, body: body ?? parts, signal });
    const isRedirect = answer.status >= 300 && answer.status < 400;
    const failure = explainAnswer(judgeStatus(answer.status, this.#values.SINK_HTTP_RETRY_STATUSES), answer, {
      target: this.#target,
      what: batch.length === 1 ? 'a message' : `${String(batch.length)} messages`,
      hint: isRedirect ? redirectHint : undefined,
    });
    if (failure !== undefined) throw failure;
  }
}

function judgeStatus(status: number, retryStatuses: readonly string[]): HttpVerdict {
  if (status >= 200 && status < 300) return 'taken';
  return retryStatuses.includes(String(status)) || retryStatuses.includes(`${String(Math.floor(status / 100))}xx`)
    ? 'retry'
    : 'refused';
}

const probeProblems: Readonly<Record<number, string>> = {
  401: 'are token, user and password the right ones?',
  403: 'are token, user and password the right ones?',
  404: 'is the path of SINK_HTTP_ADDRESS the right one?',
  408: 'it is busy',
  410: 'is the path of SINK_HTTP_ADDRESS the right one?',
  429: 'it is busy',
};
/** Not every endpoint knows OPTIONS. */
const unknownMethod = 501;

/** What the answer to an OPTIONS says of a POST to the same address; undefined: nothing against it. */
export function judgeProbe(status: number): string | undefined {
  if (status >= 300 && status < 400) return redirectHint;
  if (status >= 500 && status !== unknownMethod) return 'it is ill';
  return probeProblems[status];
}

function check(values: HttpValues): readonly string[] {
  const wrong = values.SINK_HTTP_RETRY_STATUSES.filter((status) => !/^[1-5](?:\d\d|xx)$/u.test(status));
  return [
    ...targetProblems(targetOptions(values), names),
    ...accessProblems(values, 'SINK_HTTP'),
    ...(values.SINK_HTTP_SIGNING_SECRET === null
      ? []
      : secretProblems(values.SINK_HTTP_SIGNING_SECRET, 'SINK_HTTP_SIGNING_SECRET')),
    ...wrong.map(
      (status) => `Expected \`SINK_HTTP_RETRY_STATUSES\` to hold statuses such as "429" or "5xx", got "${status}"`,
    ),
  ];
}

export const httpSink: SinkDefinition<typeof settings> = {
  type: 'http',
  settings,
  defaults: { batchEvents: 500, batchBytes: 4 * 1024 * 1024, batchAgeMs: 1000 },
  encodedBytes: (message, values) => encodedBytes(message, values.SINK_HTTP_FORMAT),
  check,
  create: (values, context) => new HttpSink(values, context),
};
