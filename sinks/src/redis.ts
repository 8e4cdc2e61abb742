/**
 * Appends messages to a list or a stream of Redis. A batch is one RPUSH, or XADDs in one go. The client is loaded when
 * the sink is used, not before; its own queues and repeats are off: a command fails at once when Redis is away, and the
 * delivery tries again.
 */
import type { Redis } from 'ioredis';
import {
  partial,
  permanent,
  retryable,
  type Batch,
  type PartialFailure,
  type Sink,
  type SinkContext,
  type SinkDefinition,
} from '@hydrant/shared/delivery/sink';
import { systemClock } from '@hydrant/shared/foundation/clock';
import { describeError, errorCode } from '@hydrant/shared/foundation/errors';
import { reconnectOnError } from '@hydrant/shared/redis/reconnect-on-error';
import { makeRedisTls } from '@hydrant/shared/redis/redis-tls';
import { makeHider, maskUrl, secretsOfUrl } from '@hydrant/shared/runtime/config/mask-url';
import { integer, oneOf, text, url } from '@hydrant/shared/runtime/config/formats';
import type { Schema, Values } from '@hydrant/shared/runtime/config/setting';
import { explainTls } from '@hydrant/shared/runtime/tls/explain-tls';
import { tlsProblems } from '@hydrant/shared/runtime/tls/read-tls';
import { readTlsOptions, tlsSettings, type TlsOptions } from '@hydrant/shared/runtime/tls/tls-settings';
import { encodeOrRefuse } from './encoding/encode-or-refuse.ts';
import { unlessAborted } from './waiting/unless-aborted.ts';

const settings = {
  SINK_REDIS_URL: {
    doc: 'Redis to write to; `rediss://` for TLS.',
    format: url(['redis:', 'rediss:']),
    default: null,
    required: true,
    sensitive: true,
    example: 'redis://redis.example:6379/0',
  },
  ...tlsSettings('SINK_REDIS', 'that Redis (`rediss://`)'),
  SINK_REDIS_KEY: {
    doc: 'Key of the list or the stream.',
    format: text,
    default: null,
    required: true,
    example: 'nomad-events',
  },
  SINK_REDIS_KIND: { doc: 'What stands under the key.', format: oneOf(['list', 'stream']), default: 'list' },
  SINK_REDIS_MAX_LENGTH: {
    doc: 'About so many entries are kept, older ones are removed, read or not; none: all are kept until somebody takes them.',
    format: integer({ min: 1 }),
    default: null,
    example: '1000000',
  },
} as const satisfies Schema;

type RedisValues = Values<typeof settings>;

const reconnectMinMs = 50;
const reconnectMaxMs = 2000;
const clientOptions = {
  lazyConnect: true,
  enableOfflineQueue: false,
  autoResendUnfulfilledCommands: false,
  maxRetriesPerRequest: 0,
  connectTimeout: 5000,
  // A server that is silent does not answer the end of a connection either.
  disconnectTimeout: 200,
  reconnectOnError,
  retryStrategy: (attempt: number) =>
    Math.min(reconnectMaxMs, reconnectMinMs * 2 ** Math.min(attempt, 10)) * (0.5 + Math.random() / 2),
};

/** What whoever runs it can do about it, by the first word of an error reply. */
const hints: Readonly<Record<string, string>> = {
  WRONGTYPE: 'the key holds something else: set another SINK_REDIS_KEY or the SINK_REDIS_KIND that fits',
  NOAUTH: 'put user and password into SINK_REDIS_URL',
  WRONGPASS: 'user or password in SINK_REDIS_URL is wrong',
  NOPERM: 'the user needs RPUSH, LTRIM and XADD on the key',
  OOM: 'Redis is full: raise its maxmemory or set SINK_REDIS_MAX_LENGTH',
  READONLY: 'it is a replica, mostly after a failover: another connection is made each time',
  MOVED: 'the sink does not speak to a cluster',
};

/** The commands that append a batch, each with the positions of its messages. */
export function makeCommands(
  batch: Batch,
  values: Pick<RedisValues, 'SINK_REDIS_KEY' | 'SINK_REDIS_KIND' | 'SINK_REDIS_MAX_LENGTH'>,
): readonly (readonly [string, ...(string | Buffer)[]])[] {
  const { SINK_REDIS_KEY: key, SINK_REDIS_KIND: kind, SINK_REDIS_MAX_LENGTH: length } = values;
  if (kind === 'list') {
    const push = ['rpush', key, ...batch.map(({ body }) => body)] as const;
    return length === null ? [push] : [push, ['ltrim', key, String(-length), '-1']];
  }
  const trim = length === null ? [] : ['MAXLEN', '~', String(length)];
  return batch.map(({ id, type, body }) => ['xadd', key, ...trim, '*', 'id', id, 'type', type, 'body', body]);
}

/**
 * What replies mean; undefined: all was taken. Everything waits: a wrong key, missing rights, a full or read-only
 * server are mended at Redis or in the settings, and no message is refused for what it is.
 */
export function judgeReplies(
  replies: readonly (readonly [Error | null, unknown])[],
  batch: Batch,
  { SINK_REDIS_KIND: kind }: Pick<RedisValues, 'SINK_REDIS_KIND'>,
): Error | undefined {
  // What follows the first reply about a list only trims it.
  const counted = kind === 'list' ? replies.slice(0, 1) : replies;
  const failures = counted.flatMap(([error], index): PartialFailure[] =>
    error === null ? [] : [{ index, reason: explain(error), retryable: true }],
  );
  const [first] = failures;
  if (first === undefined) return undefined;
  if (failures.length === counted.length) return retryable(first.reason);
  return partial(
    `${String(failures.length)} of ${String(batch.length)} messages were not taken: ${first.reason}`,
    failures,
  );
}

function explain(error: Error): string {
  // n.b. the client's own words are about an option of its own.
  if (error.name === 'MaxRetriesPerRequestError') return 'Expected Redis to answer, the connection was lost';
  if (error.name !== 'ReplyError') return `Expected Redis to answer, it cannot be reached: ${error.message}`;
  const [word = ''] = error.message.split(' ', 1);
  const hint = hints[word];
  return `Expected Redis to take messages, got ${error.message}${hint === undefined ? '' : ` (${hint})`}`;
}

class RedisSink implements Sink {
  readonly #values: RedisValues;
  readonly #context: SinkContext;
  readonly #address: string;
  readonly #hideSecrets: (text: string) => string;
  readonly #tls: TlsOptions;
  readonly #isTls: boolean;
  /** What is wrong with certificates, since the connection failed last. */
  #why: string | undefined;
  /** Why the list was not cut the last time. */
  #untrimmed: string | undefined;
  #makeClient: (() => Redis) | undefined;
  #redis: Redis | undefined;

  constructor(values: RedisValues, context: SinkContext) {
    this.#values = values;
    this.#context = context;
    this.#address = maskUrl(values.SINK_REDIS_URL);
    this.#hideSecrets = makeHider(secretsOfUrl(values.SINK_REDIS_URL));
    this.#tls = readTlsOptions(values, 'SINK_REDIS');
    this.#isTls = new URL(values.SINK_REDIS_URL).protocol === 'rediss:';
  }

  async connect(signal: AbortSignal): Promise<void> {
    const { Redis: Client } = await import('ioredis').catch((error: unknown) => {
      throw permanent(
        'Expected the package ioredis to be installed for SINK_TYPE=redis; install it beside Hydrant',
        error,
      );
    });
    try {
      const tls = this.#isTls ? { tls: makeRedisTls(this.#tls, this.#context.log) } : {};
      this.#makeClient = () => new Client(this.#values.SINK_REDIS_URL, { ...clientOptions, ...tls });
      await unlessAborted(this.#renew(), signal, `Expected Redis at ${this.#address} to answer in time, it did not`);
    } catch (error) {
      await this.close();
      throw this.#unreachable(error);
    }
  }

  async write(batch: Batch, signal: AbortSignal): Promise<void> {
    const redis = this.#open();
    const pipeline = redis.pipeline();
    for (const [command, ...args] of encodeOrRefuse(() => makeCommands(batch, this.#values)))
      pipeline.call(command, ...args);
    let replies: readonly (readonly [Error | null, unknown])[];
    try {
      replies =
        (await unlessAborted(
          pipeline.exec(),
          signal,
          `Expected Redis at ${this.#address} to answer in time, it did not`,
        )) ?? [];
    } catch (error) {
      // What was not sent yet must not be sent later, beside the next try; all else that waits on this connection waits
      // for the same silent server.
      if (signal.aborted && this.#redis === redis) this.#renew().catch(() => undefined);
      throw this.#unreachable(error);
    }
    const failure = judgeReplies(replies, batch, this.#values);
    if (failure !== undefined) throw failure;
    this.#noteTrimming(replies[1]?.[0]);
  }

  /** What was appended is there all the same. */
  #noteTrimming(error: Error | null | undefined): void {
    if (this.#values.SINK_REDIS_KIND !== 'list') return;
    const problem = error === null || error === undefined ? undefined : explain(error);
    if (problem !== undefined && this.#untrimmed === undefined)
      this.#context.log.warn(
        { sink: this.#context.name, key: this.#values.SINK_REDIS_KEY, error: problem },
        'The list is not cut to SINK_REDIS_MAX_LENGTH, it grows',
      );
    this.#untrimmed = problem;
  }

  async healthcheck(signal: AbortSignal): Promise<void> {
    try {
      await unlessAborted(
        this.#open().ping(),
        signal,
        `Expected Redis at ${this.#address} to answer in time, it did not`,
      );
    } catch (error) {
      throw this.#unreachable(error);
    }
  }

  close(): Promise<void> {
    this.#redis?.disconnect();
    this.#redis = undefined;
    return Promise.resolve();
  }

  /**
   * Another client in place of this one. n.b. a client that is told to reconnect while it connects would end for ever.
   * Rejects when its first try to connect fails; it goes on trying.
   */
  async #renew(): Promise<void> {
    this.#redis?.disconnect();
    const redis = this.#makeClient?.();
    this.#redis = redis;
    // Each failed command says it too; without a listener the client would print it.
    redis?.on('error', (error: unknown) => {
      this.#why = this.#isTls ? explainTls(error, this.#tls, systemClock.now()) : undefined;
      this.#context.log.debug(
        { sink: this.#context.name, error: this.#hideSecrets(describeError(error)) },
        'Redis of the sink cannot be reached',
      );
    });
    redis?.on('ready', () => {
      this.#why = undefined;
    });
    await redis?.connect();
  }

  #open(): Redis {
    if (this.#redis === undefined) throw retryable('Expected the Redis sink to be connected, it is not');
    return this.#redis;
  }

  /** n.b. the client's errors carry the command that failed with its arguments, also AUTH. */
  #unreachable(error: unknown): Error {
    if (errorCode(error) === 'sink-retryable') return error as Error;
    return retryable(
      `Expected Redis at ${this.#address} to take messages, it cannot be reached${this.#why === undefined ? '' : `; ${this.#why}`}`,
      undefined,
      new Error(this.#hideSecrets(describeError(error))),
    );
  }
}

export const redisSink: SinkDefinition<typeof settings> = {
  type: 'redis',
  settings,
  defaults: { batchEvents: 500, batchBytes: 4 * 1024 * 1024, batchAgeMs: 100 },
  check: (values) => tlsProblems(readTlsOptions(values, 'SINK_REDIS')),
  create: (values, context) => new RedisSink(values, context),
};
