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
const openBrace = 123;
const closeBrace = 125;

/** What can be no event and no alert: a body that does not begin and end as a JSON object. */
function isObject(body: Buffer): boolean {
  return body.length >= 2 && body[0] === openBrace && body[body.length - 1] === closeBrace;
}

export function createSinkWorker(options: SinkWorkerOptions, { bus, sink, log, metrics, clock }: SinkWorkerPorts): SinkWorker {
  const { name, prefetch, maxHeldBytes } = options.delivery;
  const telemetry = createDeliveryTelemetry(name, { metrics, log, clock });
  const delivery = createDelivery({ sink, options: options.delivery, telemetry, clock });
  const stopping = new AbortController();
  let subscribing: Promise<Subscription | undefined> | undefined;

  const handle: Handler = (incoming) => {
    if (isObject(incoming.message.body)) return delivery.handle(incoming);
    const reason = 'Expected a JSON object, got a message that is none';
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
      const subscription = await subscribing;
      await subscription?.pause();
      await delivery.stop(deadline);
      await subscription?.close(deadline);
    },
  };
}
