/**
 * Asks now and then how far Nomad itself has come. A stream that is open and says nothing of it looks like a quiet
 * cluster otherwise.
 */
import type { Clock } from '@hydrant/shared/foundation/clock';

export interface IndexWatchTelemetry {
  nomadIndexRead(index: number): void;
}

export interface IndexWatchPorts {
  /** The newest index that the leader's lists tell of; undefined, or a rejection, when none can be read. */
  readonly leaderIndex: (signal: AbortSignal) => Promise<number | undefined>;
  readonly telemetry: IndexWatchTelemetry;
  readonly clock: Clock;
  readonly everyMs?: number;
}

export interface IndexWatch {
  start(): void;
  /** Resolves when nothing is under way. Safe without `start` and twice. */
  stop(): Promise<void>;
}

const defaultEveryMs = 30_000;
const limitMs = 10_000;

export function createIndexWatch({
  leaderIndex,
  telemetry,
  clock,
  everyMs = defaultEveryMs,
}: IndexWatchPorts): IndexWatch {
  const stopping = new AbortController();
  let running: Promise<void> | undefined;

  async function ask(): Promise<void> {
    const late = new AbortController();
    const timer = clock.after(limitMs, () => {
      late.abort();
    });
    try {
      const index = await leaderIndex(AbortSignal.any([stopping.signal, late.signal]));
      if (index !== undefined) telemetry.nomadIndexRead(index);
    } catch {
      // The stream meets the same trouble, and tells of it.
    } finally {
      timer.cancel();
    }
  }

  async function run(): Promise<void> {
    while (!stopping.signal.aborted) {
      await ask();
      await clock.sleep(everyMs, stopping.signal);
    }
  }

  return {
    start() {
      running ??= run();
    },
    async stop() {
      stopping.abort();
      await running;
    },
  };
}
