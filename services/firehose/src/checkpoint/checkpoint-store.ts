/** The port that keeps the checkpoint over restarts. Adapters: Redis, a file. */
import { HydrantError } from '@hydrant/shared/foundation/errors';

export interface Checkpoint {
  /** The last index confirmed downstream. Reading goes on with it, inclusive. */
  readonly index: number;
  /** Topics, namespace and region it was made with: indexes of another filter prove nothing. */
  readonly filter: string;
  /** The address it was read from. */
  readonly source: string;
  /** The highest CreateIndex of the namespaces that were read; events of later ones may be missing. Undefined: not known, or one namespace is read. */
  readonly namespacesAt?: number | undefined;
}

export interface CheckpointStore {
  /** Where it is kept, for logs: no secrets. */
  readonly description: string;
  /**
   * The stored checkpoint, or undefined when there is none. Takes over the right to save. Rejects with `checkpoint-invalid` (permanent) when what is
   * stored is none; with anything else when it may be tried again.
   */
  load(signal: AbortSignal): Promise<Checkpoint | undefined>;
  /** Resolves when kept. Rejects with `checkpoint-taken-over` (permanent) when another process has loaded it since. One call at a time, after `load`. */
  save(checkpoint: Checkpoint): Promise<void>;
}

/** Reads what is stored as a note beside the index: what is none is not known. */
export function parseNamespacesAt(stored: unknown): Pick<Checkpoint, 'namespacesAt'> {
  const namespacesAt = Number(stored);
  return stored !== null && stored !== '' && Number.isSafeInteger(namespacesAt) && namespacesAt >= 0 ? { namespacesAt } : {};
}

/** Reads a stored index. Anything but a whole number in digits is refused, so that it is never overwritten by guesswork. */
export function parseStoredIndex(stored: string, place: string, wayOut: string): number {
  const index = Number(stored);
  if (/^\d+$/u.test(stored) && Number.isSafeInteger(index)) return index;
  throw new HydrantError(`Expected the checkpoint in ${place} to be a whole number, got ${JSON.stringify(stored.slice(0, 64))}; ${wayOut}`, {
    code: 'checkpoint-invalid',
    retryable: false,
  });
}
