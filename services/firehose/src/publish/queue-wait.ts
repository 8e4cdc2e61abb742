/**
 * Holds publishing back until the queues that must not miss a message exist: what is published before a queue is bound
 * never reaches it. It looks until all were there at once, and never again after that.
 *
 * States: unknown (the bus has not answered yet) → missing (it named queues that are not there) → found; `found` is
 * final.
 */
import type { Bus } from '@hydrant/shared/bus/bus';
import type { Clock } from '@hydrant/shared/foundation/clock';
import { describeError } from '@hydrant/shared/foundation/errors';
import type { HealthCheck } from '@hydrant/shared/runtime/admin/health';

export interface QueueWaitTelemetry {
  /** Said when it is known first, and again each minute. */
  queuesMissing(queues: readonly string[]): void;
  queuesFound(queues: readonly string[]): void;
}

export interface QueueWaitPorts {
  readonly bus: Pick<Bus, 'hasQueue'>;
  readonly telemetry: QueueWaitTelemetry;
  readonly clock: Clock;
}

export interface QueueWait {
  /** None when there is nothing to wait for. */
  readonly healthChecks: readonly HealthCheck[];
  /** Resolves when all queues exist, or `signal` aborts (look at it afterwards); never rejects. Call it once. */
  wait(signal: AbortSignal): Promise<void>;
}

const lookEveryMs = 1_000;
const sayEveryMs = 60_000;

export function createQueueWait(queues: readonly string[], { bus, telemetry, clock }: QueueWaitPorts): QueueWait {
  let isFound = queues.length === 0;
  let detail = `not asked for yet: ${queues.join(', ')}`;
  let saidMs = Number.NEGATIVE_INFINITY;

  async function findMissing(): Promise<readonly string[] | undefined> {
    try {
      const isThere = await Promise.all(queues.map((queue) => bus.hasQueue(queue)));
      return queues.filter((_, position) => isThere[position] !== true);
    } catch (thrown) {
      // The bus tells of its own outages.
      detail = `cannot tell whether ${queues.join(', ')} exist: ${describeError(thrown)}`;
      return undefined;
    }
  }

  function noteMissing(missing: readonly string[]): void {
    detail = `waiting with publishing for ${missing.map((queue) => `"${queue}"`).join(', ')}`;
    if (clock.monotonic() - saidMs < sayEveryMs) return;
    saidMs = clock.monotonic();
    telemetry.queuesMissing(missing);
  }

  return {
    healthChecks:
      queues.length === 0
        ? []
        : [{ name: 'queues', check: () => (isFound ? { status: 'pass' } : { status: 'fail', detail }) }],
    async wait(signal) {
      while (!isFound && !signal.aborted) {
        const missing = await findMissing();
        if (missing === undefined || missing.length > 0) {
          if (missing !== undefined) noteMissing(missing);
          await clock.sleep(lookEveryMs, signal);
          continue;
        }
        isFound = true;
        if (saidMs !== Number.NEGATIVE_INFINITY) telemetry.queuesFound(queues);
      }
    },
  };
}
