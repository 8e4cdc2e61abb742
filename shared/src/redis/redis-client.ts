/**
 * The connection to Redis: made in the background, made again for ever, and never a queue of commands behind a server that is away:
 * a command fails at once then, and whoever sent it decides.
 */
import { Redis } from 'ioredis';
import { systemClock } from '../foundation/clock.ts';
import { parseAddress } from '../foundation/host-port.ts';
import { describeError, errorCode, HydrantError } from '../foundation/errors.ts';
import { maskUrl } from '../runtime/config/mask-url.ts';
import type { HealthCheck } from '../runtime/admin/health.ts';
import type { Component } from '../runtime/component.ts';
import type { Logger } from '../runtime/telemetry/logger.ts';
import type { redisSettings } from '../runtime/config/common-settings.ts';
import type { Values } from '../runtime/config/setting.ts';
import { explainTls } from '../runtime/tls/explain-tls.ts';
import { noTls, readTlsOptions, type TlsOptions } from '../runtime/tls/tls-settings.ts';
import { limitAnswers, maxAnswerBytes } from './answer-limit.ts';
import { makeRedisTls } from './redis-tls.ts';

export interface RedisSentinels {
  /** `host:port` each. */
  readonly addresses: readonly string[];
  readonly master: string;
  readonly password: string | null;
}

export interface RedisClientOptions {
  readonly url: string;
  /** For `rediss://`; files are read anew for each connection. Default: the authorities that Node.js knows, no certificate of our own. */
  readonly tls?: TlsOptions;
  /** Who knows where the master is, in place of the url's host. */
  readonly sentinels?: RedisSentinels | undefined;
  /** Begins every key, also those that scripts get as KEYS. */
  readonly keyPrefix: string;
  readonly log: Logger;
  readonly commandTimeoutMs?: number;
}

export interface ScriptOptions {
  readonly name: string;
  readonly lua: string;
  /** Absent: each call gives it as its first argument. */
  readonly numberOfKeys?: number;
}

/**
 * Keys first, then arguments. Rejects with `redis-unavailable` (away, too slow) or `redis-refused` (an error that Redis answered), both retryable;
 * after `redis-unavailable` the script may have run, so scripts must bear repetition.
 */
export type Script = (...args: readonly (string | number)[]) => Promise<unknown>;

export interface RedisClient extends Component {
  script(options: ScriptOptions): Script;
  /** A single command; rejects as scripts do. */
  run(command: string, ...args: readonly (string | number)[]): Promise<unknown>;
  readonly healthCheck: HealthCheck;
}

const connectTimeoutMs = 5_000;
const defaultCommandTimeoutMs = 5_000;
const retryMinMs = 50;
const retryMaxMs = 2_000;

/** What the settings of a service say. */
export function readRedisOptions(values: Values<typeof redisSettings>): Omit<RedisClientOptions, 'log'> {
  const { REDIS_URL: url, REDIS_KEY_PREFIX: keyPrefix, REDIS_SENTINELS: addresses, REDIS_SENTINEL_MASTER: master, REDIS_SENTINEL_PASSWORD: password } = values;
  return { url, keyPrefix, tls: readTlsOptions(values, 'REDIS'), sentinels: addresses === null ? undefined : { addresses, master, password } };
}

/** Throws `tls-files` when a certificate cannot be read. */
export function createRedisClient({ url, tls = noTls('REDIS'), sentinels, keyPrefix, log, commandTimeoutMs = defaultCommandTimeoutMs }: RedisClientOptions): RedisClient {
  const isTls = new URL(url).protocol === 'rediss:';
  const address = sentinels === undefined ? maskUrl(url) : `${sentinels.master} of the Sentinels ${sentinels.addresses.join(', ')}`;
  const secure = isTls ? makeRedisTls(tls, log) : undefined;
  const redis = new Redis(url, {
    ...(secure === undefined ? {} : { tls: secure, sentinelTLS: secure, enableTLSForSentinelMode: true }),
    ...(sentinels === undefined ? {} : makeSentinelOptions(sentinels)),
    keyPrefix,
    lazyConnect: true,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    connectTimeout: connectTimeoutMs,
    commandTimeout: commandTimeoutMs,
    // n.b. a connection that only went silent would else count as up until the system notices, minutes later.
    socketTimeout: commandTimeoutMs,
    retryStrategy: retryDelayMs,
  });
  let lastError: string | undefined;
  let isUp = false;
  let isStopped = false;
  const answered = limitAnswers(redis, () => {
    log.error({ address, maxBytes: maxAnswerBytes }, 'An answer of Redis is larger than any that is asked for, closed the connection; is that our Redis, and are the keys below REDIS_KEY_PREFIX ours alone?');
  });

  redis.on('error', (error: unknown) => {
    const why = isTls ? explainTls(error, tls, systemClock.now()) : undefined;
    const text = `${describeFailure(error)}${why === undefined ? '' : `; ${why}`}`;
    if (text !== lastError) log.warn({ address, error: text }, 'Redis cannot be reached, will retry');
    lastError = text;
  });
  redis.on('ready', () => {
    isUp = true;
    lastError = undefined;
    log.info({ address }, 'Redis connected');
  });
  redis.on('close', () => {
    if (isUp && !isStopped) log.warn({ address }, 'Redis connection lost, will reconnect');
    isUp = false;
  });

  return {
    name: 'redis',
    healthCheck: {
      name: 'redis',
      check: () => (isUp ? { status: 'pass' } : { status: 'fail', detail: `${address}: ${lastError ?? 'not connected'}` }),
    },
    start() {
      // n.b. the first failure is reported by the 'error' event, and the client goes on trying.
      redis.connect().catch(() => undefined);
      return Promise.resolve();
    },
    stop() {
      isStopped = true;
      redis.disconnect();
      return Promise.resolve();
    },
    script: (options) => makeScript(redis, options, address, answered),
    async run(command, ...args) {
      try {
        return await redis.call(command, ...args);
      } catch (error) {
        throw explain(error, `the command ${command}`, address);
      } finally {
        answered();
      }
    },
  };
}

function makeScript(redis: Redis, { name, lua, numberOfKeys }: ScriptOptions, address: string, answered: () => void): Script {
  redis.defineCommand(name, { lua, ...(numberOfKeys === undefined ? {} : { numberOfKeys }) });
  const run: unknown = Reflect.get(redis, name);
  if (typeof run !== 'function') throw new Error(`Expected ioredis to define the command ${name}`);
  return async (...args) => {
    try {
      return (await Reflect.apply(run, redis, args)) as unknown;
    } catch (error) {
      throw explain(error, `the script ${name}`, address);
    } finally {
      answered();
    }
  };
}

function makeSentinelOptions({ addresses, master, password }: RedisSentinels) {
  return {
    sentinels: addresses.flatMap((address) => parseAddress(address) ?? []),
    name: master,
    ...(password === null ? {} : { sentinelPassword: password }),
    sentinelRetryStrategy: retryDelayMs,
  };
}

function retryDelayMs(attempt: number): number {
  return Math.min(retryMaxMs, retryMinMs * 2 ** Math.min(attempt, 10)) * (0.5 + Math.random() / 2);
}

/** When each address of a name refuses, Node.js gives an error without a text of its own. */
function describeFailure(error: unknown): string {
  const isBare = error instanceof Error && error.message === '';
  return (isBare ? errorCode(error) : undefined) ?? describeError(error);
}

/** What to do about an error that Redis answers, by the word that names it. */
const remedies: Readonly<Record<string, string>> = {
  OOM: 'it is full: raise its maxmemory, or give Hydrant a Redis of its own',
  READONLY: 'it is a replica: point REDIS_URL to the master, or set REDIS_SENTINELS',
  MISCONF: 'it cannot write to its own disk: make space there, its log says more',
  NOPERM: 'give the user in REDIS_URL the right to it and to the keys that begin with REDIS_KEY_PREFIX',
  NOAUTH: 'set user and password in REDIS_URL',
  WRONGPASS: 'set the right user and password in REDIS_URL',
};

/** n.b. what a command within a script was refused for stands in the middle of the answer up to Redis 6. */
function findRemedy(text: string): string | undefined {
  const [word = ''] = /\b(?:OOM|READONLY|MISCONF|NOPERM|NOAUTH|WRONGPASS)\b/u.exec(text) ?? [];
  return remedies[word];
}

function explain(error: unknown, what: string, address: string): HydrantError {
  if (error instanceof Error && error.name === 'ReplyError') {
    const remedy = findRemedy(error.message);
    const text = `Expected Redis at ${address} to run ${what}, it refused${remedy === undefined ? '' : `; ${remedy}`}`;
    return new HydrantError(text, { code: 'redis-refused', retryable: true, cause: error });
  }
  return new HydrantError(`Expected Redis at ${address} to answer ${what}, it did not`, { code: 'redis-unavailable', retryable: true, cause: error });
}
