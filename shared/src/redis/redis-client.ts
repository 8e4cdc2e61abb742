/**
 * The connection to Redis: made in the background, made again for ever, and never a queue of commands behind a server
 * that is away: a command fails at once then, and whoever sent it decides.
 */
import { Redis } from 'ioredis';
import { systemClock } from '../foundation/clock.ts';
import { parseAddress } from '../foundation/host-port.ts';
import { describeError, errorCode, HydrantError, toError } from '../foundation/errors.ts';
import { makeHider, maskUrl, secretsOfUrl } from '../runtime/config/mask-url.ts';
import type { Health, HealthCheck } from '../runtime/admin/health.ts';
import type { Component } from '../runtime/component.ts';
import type { Logger } from '../runtime/telemetry/logger.ts';
import type { redisSettings } from '../runtime/config/common-settings.ts';
import type { Values } from '../runtime/config/setting.ts';
import { explainTls } from '../runtime/tls/explain-tls.ts';
import { noTls, readTlsOptions, type TlsOptions } from '../runtime/tls/tls-settings.ts';
import { limitAnswers, maxAnswerBytes } from './answer-limit.ts';
import { reconnectOnError } from './reconnect-on-error.ts';
import { makeRedisTls } from './redis-tls.ts';

export interface RedisSentinels {
  /** `host:port` each. */
  readonly addresses: readonly string[];
  readonly master: string;
  readonly password: string | null;
}

export interface RedisClientOptions {
  readonly url: string;
  /**
   * For `rediss://`; files are read anew for each connection. Default: the authorities that Node.js knows, no
   * certificate of our own.
   */
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
 * Keys first, then arguments. An answer that comes of a failover (READONLY and its like) makes a new connection, on
 * which the script runs once more. Rejects with `redis-unavailable` (away, too slow) or `redis-refused` (an error that
 * Redis answered), both retryable; after `redis-unavailable` the script may have run, so scripts must bear repetition.
 */
export type Script = (...args: readonly ScriptArgument[]) => Promise<unknown>;

/** n.b. What is long is better a Buffer: the client would join all the texts of a command before it encodes them. */
export type ScriptArgument = string | number | Buffer;

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
  const {
    REDIS_URL: url,
    REDIS_KEY_PREFIX: keyPrefix,
    REDIS_SENTINELS: addresses,
    REDIS_SENTINEL_MASTER: master,
    REDIS_SENTINEL_PASSWORD: password,
  } = values;
  return {
    url,
    keyPrefix,
    tls: readTlsOptions(values, 'REDIS'),
    sentinels: addresses === null ? undefined : { addresses, master, password },
  };
}

/** Throws `tls-files` when a certificate cannot be read. */
export function createRedisClient(options: RedisClientOptions): RedisClient {
  return new IoRedisClient(options);
}

class IoRedisClient implements RedisClient {
  readonly name = 'redis';
  readonly healthCheck: HealthCheck = { name: 'redis', check: () => this.#health() };
  readonly #redis: Redis;
  readonly #address: string;
  readonly #hideSecrets: (text: string) => string;
  readonly #tls: TlsOptions | undefined;
  readonly #log: Logger;
  readonly #commandTimeoutMs: number;
  readonly #answered: () => void;
  #lastError: string | undefined;
  /** What Redis answered when we left it; until a script has run. The connections meanwhile are no news. */
  #misdirection: string | undefined;
  #reconnecting: Promise<void> | undefined;
  #isUp = false;
  #isStopped = false;

  constructor({
    url,
    tls = noTls('REDIS'),
    sentinels,
    keyPrefix,
    log,
    commandTimeoutMs = defaultCommandTimeoutMs,
  }: RedisClientOptions) {
    const isTls = new URL(url).protocol === 'rediss:';
    this.#address =
      sentinels === undefined ? maskUrl(url) : `${sentinels.master} of the Sentinels ${sentinels.addresses.join(', ')}`;
    this.#hideSecrets = makeHider([...secretsOfUrl(url), sentinels?.password]);
    this.#tls = isTls ? tls : undefined;
    this.#log = log;
    this.#commandTimeoutMs = commandTimeoutMs;
    const secure = isTls ? makeRedisTls(tls, log) : undefined;
    this.#redis = new Redis(url, {
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
      reconnectOnError: (error) => this.#leaves(error),
    });
    this.#answered = limitAnswers(this.#redis, () => {
      log.error(
        { address: this.#address, maxBytes: maxAnswerBytes },
        'An answer of Redis is larger than any that is asked for, closed the connection; is that our Redis, and are the keys below REDIS_KEY_PREFIX ours alone?',
      );
    });
    this.#redis.on('error', (error: unknown) => {
      this.#noteFailure(error);
    });
    this.#redis.on('ready', () => {
      this.#setUp();
    });
    this.#redis.on('close', () => {
      this.#setDown();
    });
  }

  start(): Promise<void> {
    // n.b. the first failure is reported by the 'error' event, and the client goes on trying.
    this.#redis.connect().catch(() => undefined);
    return Promise.resolve();
  }

  stop(): Promise<void> {
    this.#isStopped = true;
    this.#redis.disconnect();
    return Promise.resolve();
  }

  script(options: ScriptOptions): Script {
    const call = defineScript(this.#redis, options);
    return (...args) => this.#run(`the script ${options.name}`, () => call(args));
  }

  run(command: string, ...args: readonly (string | number)[]): Promise<unknown> {
    return this.#run(`the command ${command}`, () => this.#redis.call(command, ...args));
  }

  async #run(what: string, call: () => Promise<unknown>): Promise<unknown> {
    try {
      // n.b. what was refused for a failover has not run.
      return await this.#runOnce(call).catch((error: unknown) =>
        error instanceof Error && reconnectOnError(error) ? this.#runOnce(call) : Promise.reject(toError(error)),
      );
    } catch (error) {
      throw explain(error, what, this.#address);
    }
  }

  async #runOnce(call: () => Promise<unknown>): Promise<unknown> {
    await this.#reconnecting;
    try {
      const reply = await call();
      this.#misdirection = undefined;
      return reply;
    } finally {
      this.#answered();
    }
  }

  #health(): Health {
    if (this.#isUp && this.#misdirection === undefined) return { status: 'pass' };
    return { status: 'fail', detail: `${this.#address}: ${this.#lastError ?? this.#misdirection ?? 'not connected'}` };
  }

  #leaves(error: Error): boolean {
    if (!reconnectOnError(error)) return false;
    if (this.#misdirection === undefined)
      this.#log.warn(
        { address: this.#address, answer: error.message },
        'Redis at the other end cannot serve, connects again',
      );
    this.#misdirection = error.message;
    this.#reconnecting ??= whenReady(this.#redis, this.#commandTimeoutMs).finally(() => {
      this.#reconnecting = undefined;
    });
    return true;
  }

  #noteFailure(error: unknown): void {
    const why = this.#tls === undefined ? undefined : explainTls(error, this.#tls, systemClock.now());
    const text = `${this.#hideSecrets(describeFailure(error))}${why === undefined ? '' : `; ${why}`}`;
    if (text !== this.#lastError)
      this.#log.warn({ address: this.#address, error: text }, 'Redis cannot be reached, will retry');
    this.#lastError = text;
  }

  #setUp(): void {
    this.#isUp = true;
    this.#lastError = undefined;
    this.#log[this.#misdirection === undefined ? 'info' : 'debug']({ address: this.#address }, 'Redis connected');
  }

  #setDown(): void {
    if (this.#isUp && !this.#isStopped)
      this.#log[this.#misdirection === undefined ? 'warn' : 'debug'](
        { address: this.#address },
        'Redis connection lost, will reconnect',
      );
    this.#isUp = false;
  }
}

function defineScript(
  redis: Redis,
  { name, lua, numberOfKeys }: ScriptOptions,
): (args: readonly ScriptArgument[]) => Promise<unknown> {
  redis.defineCommand(name, { lua, ...(numberOfKeys === undefined ? {} : { numberOfKeys }) });
  const command: unknown = Reflect.get(redis, name);
  if (typeof command !== 'function') throw new Error(`Expected ioredis to define the command ${name}`);
  return (args) => Reflect.apply(command, redis, args) as Promise<unknown>;
}

/** Resolves when another connection stands, or after `limitMs`: what is called then fails and says why. */
function whenReady(redis: Redis, limitMs: number): Promise<void> {
  return new Promise((resolve) => {
    const finish = (): void => {
      timer.cancel();
      redis.off('ready', finish);
      redis.off('end', finish);
      resolve();
    };
    const timer = systemClock.after(limitMs, finish);
    redis.once('ready', finish);
    redis.once('end', finish);
  });
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
  MASTERDOWN: 'it is a replica that has lost its master: point REDIS_URL to the master, or set REDIS_SENTINELS',
  NOREPLICAS: 'it lacks the replicas that its min-replicas-to-write asks for: bring them back',
  LOADING: 'it is reading its data from disk: wait until it has',
  CLUSTERDOWN: 'its cluster is down, and Hydrant needs a Redis that is no cluster: point REDIS_URL to one',
  MOVED: 'it is a node of a cluster: point REDIS_URL to a Redis that is none',
  CROSSSLOT: 'it is a node of a cluster: point REDIS_URL to a Redis that is none',
  MISCONF: 'it cannot write to its own disk: make space there, its log says more',
  NOPERM: 'give the user in REDIS_URL the right to it and to the keys that begin with REDIS_KEY_PREFIX',
  NOAUTH: 'set user and password in REDIS_URL',
  WRONGPASS: 'set the right user and password in REDIS_URL',
};

/** n.b. what a command within a script was refused for stands in the middle of the answer up to Redis 6. */
function findRemedy(text: string): string | undefined {
  const word = /\b[A-Z]{3,}\b/gu;
  return [...text.matchAll(word)].map(([found]) => remedies[found]).find((remedy) => remedy !== undefined);
}

function explain(error: unknown, what: string, address: string): HydrantError {
  if (error instanceof Error && error.name === 'ReplyError') {
    const remedy = findRemedy(error.message);
    const text = `Expected Redis at ${address} to run ${what}, it refused${remedy === undefined ? '' : `; ${remedy}`}`;
    return new HydrantError(text, { code: 'redis-refused', retryable: true, cause: error });
  }
  return new HydrantError(`Expected Redis at ${address} to answer ${what}, it did not`, {
    code: 'redis-unavailable',
    retryable: true,
    cause: error,
  });
}
