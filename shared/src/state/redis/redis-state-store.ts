/**
 * The state that any number of processes share, in Redis. An entry is one text under one key: "<version> <format>
 * <deadline> <value>". All keys carry one hash tag, so that they lie together in a Redis Cluster.
 */
import { randomBytes } from 'node:crypto';
import type { Clock } from '../../foundation/clock.ts';
import { HydrantError } from '../../foundation/errors.ts';
import { loadLua } from '../../redis/lua.ts';
import type { RedisClient, Script, ScriptArgument } from '../../redis/redis-client.ts';
import { newerFormat } from '../state-errors.ts';
import {
  stateFormat,
  type CommitResult,
  type LoadedEntries,
  type StateChange,
  type StateLimits,
  type StateStore,
  type StoredEntry,
} from '../state-store.ts';

export interface RedisStateStoreOptions {
  readonly redis: RedisClient;
  /** Of the service, such as `detector`: it becomes the hash tag. */
  readonly name: string;
  readonly limits: StateLimits;
  readonly clock: Pick<Clock, 'now'>;
}

const where = 'Redis';
const none: LoadedEntries = new Map();
/** What load-changed-state-1.lua says of an entry that is as it is known. */
const asKnown = 1;

export function createRedisStateStore(options: RedisStateStoreOptions): StateStore {
  return new RedisStateStore(options);
}

class RedisStateStore implements StateStore {
  readonly #redis: RedisClient;
  readonly #clock: Pick<Clock, 'now'>;
  readonly #prefix: string;
  readonly #limits: string;
  readonly #commit: Script;
  readonly #loadChanged: Script;
  /** No two processes give the same version. */
  readonly #writer = randomBytes(6).toString('base64url');
  #commits = 0;
  #isPrepared = false;

  constructor({ redis, name, limits, clock }: RedisStateStoreOptions) {
    this.#redis = redis;
    this.#clock = clock;
    this.#prefix = `{${name}}:`;
    this.#limits = Object.entries(limits)
      .map(([kind, limit]) => `${kind}=${String(limit)}`)
      .join(' ');
    this.#commit = redis.script({
      name: 'commitState',
      lua: loadLua(new URL('../../../lua/commit-state-1.lua', import.meta.url)),
    });
    this.#loadChanged = redis.script({
      name: 'loadChangedState',
      lua: loadLua(new URL('../../../lua/load-changed-state-1.lua', import.meta.url)),
    });
  }

  async prepare(): Promise<void> {
    const key = `${this.#prefix}format`;
    await this.#redis.run('SET', key, stateFormat, 'NX');
    const found = Number(await this.#redis.run('GET', key));
    if (found > stateFormat) throw newerFormat(found, where);
    this.#isPrepared = true;
  }

  async load(keys: readonly string[], known: LoadedEntries = none): Promise<LoadedEntries> {
    if (keys.length === 0) return none;
    if (!this.#isPrepared) await this.prepare();
    const names = keys.map((key) => this.#prefix + key);
    const texts = readList(
      await (known.size === 0
        ? this.#redis.run('MGET', ...names)
        : this.#loadChanged(names.length, ...names, ...keys.map((key) => writeHead(known.get(key) ?? null)))),
    );
    return new Map(
      keys.map((key, at) => [key, texts[at] === asKnown ? withoutValue(known.get(key)) : readEntry(texts[at])]),
    );
  }

  async commit(changes: readonly StateChange[], read: LoadedEntries): Promise<CommitResult> {
    // Nothing here rests on what others are still writing.
    if (changes.length === 0) return { outcome: 'committed', evicted: new Map(), entries: none };
    this.#commits += 1;
    const version = `${this.#writer}${this.#commits.toString(36)}`;
    const changed = new Set(changes.map(({ key }) => key));
    const keys = [...changed, ...[...read.keys()].filter((key) => !changed.has(key))];
    const reply = await this.#commit(
      keys.length + 1,
      this.#prefix,
      ...keys.map((key) => this.#prefix + key),
      this.#clock.now(),
      this.#limits,
      changes.length,
      ...keys.map((key) => writeHead(read.get(key) ?? null)),
      ...changes.flatMap((change) => writeChange(change, read.get(change.key) ?? null, version)),
    );
    if (reply === null) return { outcome: 'conflict' };
    return {
      outcome: 'committed',
      evicted: readEvicted(readList(reply)),
      entries: new Map(changes.map((change) => [change.key, entryAfter(change, version)])),
    };
  }

  async due(kind: string, beforeMs: number, limit: number): Promise<readonly string[]> {
    const before = Number.isFinite(beforeMs) ? beforeMs : '+inf';
    return readList(
      await this.#redis.run('ZRANGEBYSCORE', `${this.#prefix}due:${kind}`, '-inf', before, 'LIMIT', 0, limit),
    ).map(String);
  }

  async count(kind: string): Promise<number> {
    return Number(await this.#redis.run('ZCARD', `${this.#prefix}used:${kind}`));
  }

  async countDeadlines(kind: string): Promise<number> {
    return Number(await this.#redis.run('ZCARD', `${this.#prefix}due:${kind}`));
  }
}

/** How the text of the entry begins: the script compares it. */
function writeHead(entry: StoredEntry | null): string {
  return entry === null ? '' : `${entry.version} `;
}

function writeChange(change: StateChange, before: StoredEntry | null, version: string): readonly ScriptArgument[] {
  if (change.value === null) return ['', 0, ''];
  const { value, deadlineMs, expiresInMs } = change;
  const written = deadlineMs === null ? '' : String(deadlineMs);
  const isSame =
    deadlineMs === null ? before === null || before.deadlineMs === null : before?.deadlineMs === deadlineMs;
  return [
    Buffer.from(`${version} ${String(stateFormat)} ${written} ${value}`),
    Math.ceil(expiresInMs),
    isSame ? '=' : written,
  ];
}

function entryAfter(change: StateChange, version: string): StoredEntry | null {
  return change.value === null ? null : { value: null, version, deadlineMs: change.deadlineMs };
}

function withoutValue(entry: StoredEntry | null | undefined): StoredEntry | null {
  return entry ? { ...entry, value: null } : null;
}

function readEntry(text: unknown): StoredEntry | null {
  if (text === null || text === undefined) return null;
  if (typeof text !== 'string') throw unexpected(text);
  const first = text.indexOf(' ');
  const second = text.indexOf(' ', first + 1);
  const third = text.indexOf(' ', second + 1);
  const format = Number(text.slice(first + 1, second));
  if (first === -1 || second === -1 || third === -1 || !Number.isInteger(format)) throw unexpected(text);
  if (format > stateFormat) throw newerFormat(format, where);
  const deadline = text.slice(second + 1, third);
  return {
    value: text.slice(third + 1),
    version: text.slice(0, first),
    deadlineMs: deadline === '' ? null : Number(deadline),
  };
}

function readEvicted(reply: readonly unknown[]): ReadonlyMap<string, number> {
  const evicted = new Map<string, number>();
  for (let at = 0; at + 1 < reply.length; at += 2) evicted.set(String(reply[at]), Number(reply[at + 1]));
  return evicted;
}

function readList(reply: unknown): readonly unknown[] {
  if (!Array.isArray(reply)) throw unexpected(reply);
  return reply;
}

function unexpected(reply: unknown): HydrantError {
  return new HydrantError(
    `Expected Redis to hold the state that Hydrant writes, got ${(JSON.stringify(reply) ?? 'nothing').slice(0, 100)}`,
    { code: 'state-broken', retryable: true },
  );
}
