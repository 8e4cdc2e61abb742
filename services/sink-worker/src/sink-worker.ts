/**
 * The wiring of a sink-worker: queue → batches → destination. It knows ports only, so that standalone runs the same for
 * each of its sinks.
 */
import type { Bus, Subscription } from '@hydrant/shared/bus/bus';
import type { Clock } from '@hydrant/shared/foundation/clock';
import { createDelivery } from '@hydrant/shared/delivery/delivery';
import type { DeliveryOptions } from '@hydrant/shared/delivery/delivery-settings';
import { createDeliveryTelemetry } from '@hydrant/shared/delivery/delivery-telemetry';
import type { Sink } from '@hydrant/shared/delivery/sink';
import type { HealthCheck } from '@hydrant/shared/runtime/admin/health';
import type { Component } from '@hydrant/shared/runtime/component';
import type { Logger } from '@hydrant/shared/runtime/telemetry/logger';
import type { Metrics } from '@hydrant/shared/runtime/telemetry/metrics';
import { createHandler } from './handle-message.ts';

export interface SinkWorkerOptions {
  readonly queue: string;
  readonly bindings: readonly string[];
  readonly delivery: DeliveryOptions;
}

export interface SinkWorkerPorts {
  readonly bus: Bus;
  readonly sink: Sink;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly clock: Clock;
}

export interface SinkWorker extends Component {
  readonly healthChecks: readonly HealthCheck[];
}

/** How long `start` waits for the subscription: in one process it then stands before the first event is published. */
const subscribeGraceMs = 2000;
const subscribeRetryMs = 1000;

/** Resolves when `promise` has, or when `signal` aborts; rejects as `promise` does. */
async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  let onAbort = (): void => undefined;
  const aborted = new Promise<undefined>((resolve) => {
    onAbort = () => {
      resolve(undefined);
    };
  });
  if (signal.aborted) onAbort();
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

export function createSinkWorker(
  options: SinkWorkerOptions,
  { bus, sink, log, metrics, clock }: SinkWorkerPorts,
): SinkWorker {
  const { name, prefetch, maxHeldBytes } = options.delivery;
  const telemetry = createDeliveryTelemetry(name, { metrics, log, clock });
  const delivery = createDelivery({ sink, options: options.delivery, telemetry, clock });
  const stopping = new AbortController();
  /** Aborts when nobody waits for handlers any more. */
  const givingUp = new AbortController();
  let subscribing: Promise<Subscription | undefined> | undefined;
  let watching: Promise<void> | undefined;

  const handle = createHandler(delivery, telemetry);

  async function subscribe(): Promise<Subscription | undefined> {
    const { queue, bindings } = options;
    while (!stopping.signal.aborted) {
      try {
        return await bus.subscribe(
          { name: queue, bindings, prefetch, maxHeldBytes, consumer: name },
          handle,
          stopping.signal,
        );
      } catch (err) {
        if (stopping.signal.aborted) break;
        log.warn({ err, queue }, 'Subscription failed, will retry');
        await clock.sleep(subscribeRetryMs, stopping.signal);
      }
    }
    return undefined;
  }

  /**
   * Leaves the queue alone for as long as the destination stays down, so that no message is held until RabbitMQ takes
   * the consumer for a dead one.
   */
  async function watch(): Promise<void> {
    const subscription = await subscribing;
    while (subscription !== undefined && !stopping.signal.aborted) {
      const outage = await delivery.whenDown(stopping.signal);
      if (outage === undefined) break;
      await Promise.all([subscription.release(givingUp.signal), delivery.pause(outage)]);
      await delivery.probe(stopping.signal);
      delivery.resume();
      if (!stopping.signal.aborted) await subscription.resume();
    }
  }

  return {
    name: `sink-worker ${name}`,
    healthChecks: [delivery.healthCheck],
    async start(signal) {
      await delivery.start(signal);
      subscribing ??= subscribe();
      watching ??= watch();
      const waited = new AbortController();
      await Promise.race([subscribing, clock.sleep(subscribeGraceMs, AbortSignal.any([signal, waited.signal]))]);
      waited.abort();
    },
    async stop(deadline) {
      stopping.abort();
      const giveUp = (): void => {
        givingUp.abort();
      };
      if (deadline.aborted) giveUp();
      else deadline.addEventListener('abort', giveUp, { once: true });
      // A broker that does not answer must not keep what is held from its destination.
      const subscription = subscribing === undefined ? undefined : await unlessAborted(subscribing, deadline);
      if (subscription !== undefined) await unlessAborted(subscription.pause(), deadline);
      await delivery.stop(deadline);
      await watching;
      await subscription?.close(deadline);
    },
  };
}
