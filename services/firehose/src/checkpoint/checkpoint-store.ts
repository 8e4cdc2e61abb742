/** The port that keeps the checkpoint over restarts. Adapters: Redis, a file. */
import { HydrantError } from '@hydrant/shared/foundation/errors';

export interface Checkpoint {
  /** The last index confirmed downstream. Reading goes on with it, inclusive. */
  readonly index: number;
  /** Topics, namespace and region it was made with: indexes of another filter prove nothing. */
  readonly filter: string;
  /** The address it was read from. */
  readonly source: string;
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

/** Reads a stored index. Anything but a whole number in digits is refused, so that it is never overwritten by guesswork. */
export function parseStoredIndex(stored: string, place: string, wayOut: string): number {
  const index = Number(stored);
  if (/^\d+$/u.test(stored) && Number.isSafeInteger(index)) return index;
  throw new HydrantError(`Expected the checkpoint in ${place} to be a whole number, got ${JSON.stringify(stored.slice(0, 64))}; ${wayOut}`, {
    code: 'checkpoint-invalid',
    retryable: false,
  });
}
