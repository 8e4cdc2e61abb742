/** The port that keeps the checkpoint over restarts. Adapters: Redis, a file. */
import { HydrantError } from '@hydrant/shared/foundation/errors';
import type { TopicIndexes } from '../gap/restore-watch.ts';

export interface Checkpoint {
  /** The last index confirmed downstream. Reading goes on with it, inclusive. */
  readonly index: number;
  /** Topics, namespace and region it was made with: indexes of another filter prove nothing. */
  readonly filter: string;
  /** The address it was read from. */
  readonly source: string;
  /**
   * The highest CreateIndex of the namespaces that were read; events of later ones may be missing. Undefined: not
   * known, or one namespace is read.
   */
  readonly namespacesAt?: number | undefined;
  /** How often the indexes or objects of this Nomad began anew; part of message ids. Undefined: never. */
  readonly epoch?: number | undefined;
  /**
   * By topic, the newest index that was shown: a list that is older proves that objects went back. Undefined: not
   * known.
   */
  readonly topicIndexes?: TopicIndexes | undefined;
}

export interface CheckpointStore {
  /** Where it is kept, for logs: no secrets. */
  readonly description: string;
  /**
   * The stored checkpoint, or undefined when there is none. Takes over the right to save. Rejects with
   * `checkpoint-invalid` (permanent) when what is stored is none; with anything else when it may be tried again.
   */
  load(signal: AbortSignal): Promise<Checkpoint | undefined>;
  /**
   * Resolves when kept. Rejects with `checkpoint-taken-over` (permanent) when another process has loaded it since. One
   * call at a time, after `load`.
   */
  save(checkpoint: Checkpoint): Promise<void>;
}

/** The notes beside an index, as they are stored. */
export interface StoredNotes {
  readonly filter?: unknown;
  readonly source?: unknown;
  readonly namespacesAt?: unknown;
  readonly epoch?: unknown;
  /** An object, or its JSON. */
  readonly topicIndexes?: unknown;
}

/** Reads what is stored as notes beside the index: what is none is not known. */
export function parseNotes({
  filter,
  source,
  namespacesAt,
  epoch,
  topicIndexes,
}: StoredNotes): Omit<Checkpoint, 'index'> {
  return {
    filter: typeof filter === 'string' ? filter : '',
    source: typeof source === 'string' ? source : '',
    ...definedOnly('namespacesAt', parseCount(namespacesAt)),
    ...definedOnly('epoch', parseCount(epoch)),
    ...definedOnly('topicIndexes', parseTopicIndexes(topicIndexes)),
  };
}

function definedOnly<Name extends string, Value>(name: Name, value: Value | undefined): Partial<Record<Name, Value>> {
  return value === undefined ? {} : ({ [name]: value } as Record<Name, Value>);
}

function parseCount(stored: unknown): number | undefined {
  const count =
    typeof stored === 'number' ? stored : typeof stored === 'string' && stored !== '' ? Number(stored) : Number.NaN;
  return Number.isSafeInteger(count) && count >= 0 ? count : undefined;
}

function parseTopicIndexes(stored: unknown): TopicIndexes | undefined {
  const value = typeof stored === 'string' ? parseJson(stored) : stored;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  const known = Object.entries(value).filter((entry): entry is [string, number] => Number.isSafeInteger(entry[1]));
  return known.length === 0 ? undefined : Object.fromEntries(known);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // A note that cannot be read is not known.
    return undefined;
  }
}

/**
 * Reads a stored index. Anything but a whole number in digits is refused, so that it is never overwritten by guesswork.
 */
export function parseStoredIndex(stored: string, place: string, wayOut: string): number {
  const index = Number(stored);
  if (/^\d+$/u.test(stored) && Number.isSafeInteger(index)) return index;
  throw new HydrantError(
    `Expected the checkpoint in ${place} to be a whole number, got ${JSON.stringify(stored.slice(0, 64))}; ${wayOut}`,
    {
      code: 'checkpoint-invalid',
      retryable: false,
    },
  );
}
