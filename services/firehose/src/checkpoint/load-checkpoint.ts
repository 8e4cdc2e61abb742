/**
 * Reads the checkpoint before anything else happens, for as long as it takes: without it nobody knows where to begin.
 */
import { createBackoff } from '@hydrant/shared/foundation/backoff';
import type { Clock } from '@hydrant/shared/foundation/clock';
import { isRetryable, toError } from '@hydrant/shared/foundation/errors';
import type { Checkpoint, CheckpointStore } from './checkpoint-store.ts';
import type { CheckpointTelemetry } from './saver.ts';

export interface LoadPorts {
  readonly store: CheckpointStore;
  readonly telemetry: CheckpointTelemetry;
  readonly clock: Clock;
}

const worthSaying = 3;

/**
 * Undefined when there is none, or when `signal` aborts. Rejects when what is stored is no checkpoint: a person has to
 * decide.
 */
export async function loadCheckpoint(
  { store, telemetry, clock }: LoadPorts,
  signal: AbortSignal,
): Promise<Checkpoint | undefined> {
  const backoff = createBackoff({ minMs: 100, maxMs: 5_000 });
  const place = store.description;
  for (let attempt = 1; !signal.aborted; attempt += 1) {
    try {
      const checkpoint = await store.load(signal);
      telemetry.checkpointLoaded({ place, index: checkpoint?.index, source: checkpoint?.source });
      return checkpoint;
    } catch (thrown) {
      if (!isRetryable(thrown)) throw thrown;
      if (signal.aborted) break;
      // The first attempts may only be ahead of the connection that is being made.
      if (attempt === worthSaying) telemetry.checkpointUnreadable({ place, err: toError(thrown) });
      await clock.sleep(backoff.next(), signal);
    }
  }
  return undefined;
}
