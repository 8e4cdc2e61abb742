/**
 * The wiring of a sink-worker: queue → batches → destination. It knows ports only, so that standalone runs the same for each of its sinks.
 */
import type { Bus, Handler, Subscription } from '@hydrant/shared/bus/bus';
import type { Clock } from '@hydrant/shared/foundation/clock';
import { createDelivery } from '@hydrant/shared/delivery/delivery';
import type { DeliveryOptions } from '@hydrant/shared/delivery/delivery-settings';
import { createDeliveryTelemetry } from '@hydrant/shared/delivery/delivery-telemetry';
import type { Sink } from '@hydrant/shared/delivery/sink';
import type { HealthCheck } from '@hydrant/shared/runtime/admin/health';
import type { Component } from '@hydrant/shared/runtime/component';
import type { Logger } from '@hydrant/shared/runtime/telemetry/logger';
import type { Metrics } from '@hydrant/shared/runtime/telemetry/metrics';

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
const openBrace = 0x7b;
const closeBrace = 0x7d;
const space = 0x20;

/** Whether a body begins and ends as a JSON object, which events and alerts are. What stands between is not read: that would cost more than all the rest. */
export function looksLikeObject(body: Buffer): boolean {
  let end = body.length - 1;
  // Tabs and line breaks are below the space.
  while (end > 0 && (body[end] ?? 0) <= space) end -= 1;
  let start = 0;
  while (start < end && (body[start] ?? 0) <= space) start += 1;
  return start < end && body[start] === openBrace && body[end] === closeBrace;
}

/** Resolves when `promise` has, or when `signal` aborts; rejects as `promise` does. */
async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  let onAbort = (): void => undefined;
  const aborted = new Promise<undefined>((resolve) => { onAbort = () => { resolve(undefined); }; });
  if (signal.aborted) onAbort();
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

export function createSinkWorker(options: SinkWorkerOptions, { bus, sink, log, metrics, clock }: SinkWorkerPorts): SinkWorker {
  const { name, prefetch, maxHeldBytes } = options.delivery;
  const telemetry = createDeliveryTelemetry(name, { metrics, log, clock });
  const delivery = createDelivery({ sink, options: options.delivery, telemetry, clock });
  const stopping = new AbortController();
  let subscribing: Promise<Subscription | undefined> | undefined;

  const handle: Handler = (incoming) => {
    if (looksLikeObject(incoming.message.body)) return delivery.handle(incoming);
    const reason = 'Expected the body to be a JSON object, as events and alerts are, got something else';
    telemetry.messageDeadLettered(incoming.message.id, reason);
    return Promise.resolve({ action: 'dead-letter', reason, attempts: 0 });
  };

  async function subscribe(): Promise<Subscription | undefined> {
    const { queue, bindings } = options;
    while (!stopping.signal.aborted) {
      try {
        return await bus.subscribe({ name: queue, bindings, prefetch, maxHeldBytes, consumer: name }, handle, stopping.signal);
      } catch (err) {
        if (stopping.signal.aborted) break;
        log.warn({ err, queue }, 'Subscription failed, will retry');
        await clock.sleep(subscribeRetryMs, stopping.signal);
      }
    }
    return undefined;
  }

  return {
    name: `sink-worker ${name}`,
    healthChecks: [delivery.healthCheck],
    async start(signal) {
      await delivery.start(signal);
      subscribing ??= subscribe();
      const waited = new AbortController();
      await Promise.race([subscribing, clock.sleep(subscribeGraceMs, AbortSignal.any([signal, waited.signal]))]);
      waited.abort();
    },
    async stop(deadline) {
      stopping.abort();
      // A broker that does not answer must not keep what is held from its destination.
      const subscription = subscribing === undefined ? undefined : await unlessAborted(subscribing, deadline);
      if (subscription !== undefined) await unlessAborted(subscription.pause(), deadline);
      await delivery.stop(deadline);
      await subscription?.close(deadline);
    },
  };
}
