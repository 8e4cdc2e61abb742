/**
 * Watches which namespaces there are. Nomad reads `namespace=*` once, when the stream is opened, and no event tells of
 * a new namespace: the stream has to be opened again. Trouble with the list disturbs no stream; a namespace made
 * meanwhile is found when the list can be read again.
 *
 * The list is read with `stale`, from the agent's own state: that is what the stream is made of, and it needs no
 * leader.
 */
import { createBackoff } from '@hydrant/shared/foundation/backoff';
import type { Clock } from '@hydrant/shared/foundation/clock';
import { toError } from '@hydrant/shared/foundation/errors';
import { forEachListed, readListIndex } from '../lists/list-reading.ts';
import type { NomadAddress } from './address.ts';
import type { NomadClient } from './nomad-http-client.ts';

export interface Namespace {
  readonly name: string;
  /** Nothing happened in it before. 0: not known. */
  readonly createIndex: number;
}

export interface NamespaceList {
  readonly namespaces: readonly Namespace[];
  /** For the blocking query; 0: Nomad does not say. */
  readonly index: number;
}

export interface NamespaceWatchTelemetry {
  /** `isRepeat`: it has not worked since it was told last. */
  namespaceWatchFailed(failure: { readonly address: string; readonly isRepeat: boolean; readonly err: Error }): void;
}

export interface NamespaceWatch {
  /**
   * To be called before the stream is opened. Resolves soon, with what is known from earlier when Nomad does not tell;
   * rejects only with the reason of `signal`.
   */
  read(address: NomadAddress, signal: AbortSignal): Promise<NamespaceList | undefined>;
  /**
   * Resolves when there are namespaces that `known` lacks, with these; with none when `signal` aborts. Rejects never.
   */
  untilAdded(
    address: NomadAddress,
    known: NamespaceList | undefined,
    signal: AbortSignal,
  ): Promise<readonly Namespace[]>;
}

export interface NamespaceWatchOptions {
  /** Empty: the agent's own. */
  readonly region: string;
  readonly retryMinMs?: number;
  readonly retryMaxMs?: number;
}

/** A blocking query without news ends after this and up to a sixteenth more. */
const waitMs = 120_000;
const silentMs = (waitMs * 17) / 16 + 15_000;
/** How long the opening of the stream may wait for the list. */
const firstReadMs = 2_000;
const listedAt = '/v1/namespaces';
const defaults = { retryMinMs: 1_000, retryMaxMs: 60_000 };

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}

/** Throws `list-malformed`. */
export function readNamespaceList(body: Buffer, index: string | undefined): NamespaceList {
  const namespaces: Namespace[] = [];
  forEachListed(listedAt, body, (start, end) => {
    const entry: unknown = JSON.parse(body.toString('utf8', start, end));
    if (!isRecord(entry) || typeof entry['Name'] !== 'string') return;
    namespaces.push({
      name: entry['Name'],
      createIndex: Number.isSafeInteger(entry['CreateIndex']) ? Number(entry['CreateIndex']) : 0,
    });
  });
  return { namespaces, index: readListIndex(index) ?? 0 };
}

/** Those of `now` that `before` lacks. Made anew under its name a namespace is the same to the stream. */
export function addedNamespaces(before: NamespaceList, now: NamespaceList): Namespace[] {
  const known = new Set(before.namespaces.map(({ name }) => name));
  return now.namespaces.filter(({ name }) => !known.has(name));
}

/**
 * Those made after `namespacesAt` and before `index`: a stream that came to `index` without them lacked their events.
 */
export function missedNamespaces({ namespaces }: NamespaceList, namespacesAt: number, index: number): Namespace[] {
  return namespaces.filter(({ createIndex }) => createIndex > namespacesAt && createIndex < index);
}

function listPath(region: string, index: number): string {
  const parameters = new URLSearchParams({ stale: 'true' });
  if (index > 0) {
    parameters.set('index', String(index));
    parameters.set('wait', `${String(waitMs / 1000)}s`);
  }
  if (region !== '') parameters.set('region', region);
  return `${listedAt}?${parameters.toString()}`;
}

class BlockingNamespaceWatch implements NamespaceWatch {
  readonly #options: NamespaceWatchOptions & typeof defaults;
  readonly #client: NomadClient;
  readonly #telemetry: NamespaceWatchTelemetry;
  readonly #clock: Clock;
  #isFailing = false;
  #last: NamespaceList | undefined;

  constructor(
    options: NamespaceWatchOptions,
    ports: { readonly client: NomadClient; readonly telemetry: NamespaceWatchTelemetry; readonly clock: Clock },
  ) {
    this.#options = { ...defaults, ...options };
    this.#client = ports.client;
    this.#telemetry = ports.telemetry;
    this.#clock = ports.clock;
  }

  async read(address: NomadAddress, signal: AbortSignal): Promise<NamespaceList | undefined> {
    const late = new AbortController();
    const timer = this.#clock.after(firstReadMs, () => {
      late.abort();
    });
    try {
      return await this.#list(address, 0, AbortSignal.any([signal, late.signal]));
    } catch {
      signal.throwIfAborted();
      // The watch meets the same trouble, and tells of it.
      return this.#last;
    } finally {
      timer.cancel();
    }
  }

  async untilAdded(
    address: NomadAddress,
    known: NamespaceList | undefined,
    signal: AbortSignal,
  ): Promise<readonly Namespace[]> {
    const { retryMinMs, retryMaxMs } = this.#options;
    const backoff = createBackoff({ minMs: retryMinMs, maxMs: retryMaxMs });
    let before = known;
    while (!signal.aborted) {
      const startedMs = this.#clock.monotonic();
      const now = await this.#tryList(address, before?.index ?? 0, signal);
      if (signal.aborted) break;
      if (now !== undefined) {
        // n.b. without a list from before the stream was opened, any namespace may be one that it lacks.
        const added =
          before === undefined
            ? now.namespaces.map(({ name }) => ({ name, createIndex: 0 }))
            : addedNamespaces(before, now);
        if (added.length > 0) return added;
        before = now;
        backoff.reset();
      }
      // What answers at once and says nothing new is not to be asked in a loop.
      const isTooSoon = this.#clock.monotonic() - startedMs < retryMinMs;
      const pauseMs = now === undefined ? backoff.next() : now.index === 0 ? retryMaxMs : isTooSoon ? retryMinMs : 0;
      await this.#clock.sleep(pauseMs, signal);
    }
    return [];
  }

  async #tryList(address: NomadAddress, index: number, signal: AbortSignal): Promise<NamespaceList | undefined> {
    try {
      const list = await this.#list(address, index, signal);
      this.#isFailing = false;
      return list;
    } catch (thrown) {
      if (signal.aborted) return undefined;
      this.#telemetry.namespaceWatchFailed({ address: address.label, isRepeat: this.#isFailing, err: toError(thrown) });
      this.#isFailing = true;
      return undefined;
    }
  }

  async #list(address: NomadAddress, index: number, signal: AbortSignal): Promise<NamespaceList> {
    const { body, headers } = await this.#client.get(address, listPath(this.#options.region, index), signal, {
      silentMs,
    });
    this.#last = readNamespaceList(body, headers['x-nomad-index']);
    return this.#last;
  }
}

export function createNamespaceWatch(
  options: NamespaceWatchOptions,
  ports: { readonly client: NomadClient; readonly telemetry: NamespaceWatchTelemetry; readonly clock: Clock },
): NamespaceWatch {
  return new BlockingNamespaceWatch(options, ports);
}
