/** Counters and log lines of deliveries; one line per outage, not per try. */
import type { Clock } from '../foundation/clock.ts';
import type { Logger } from '../runtime/telemetry/logger.ts';
import type { Metrics } from '../runtime/telemetry/metrics.ts';
import type { DeliverTelemetry } from './deliver-batch.ts';

export interface DeliveryTelemetry extends DeliverTelemetry {
  connectFailed(err: Error): void;
  /** One try has ended. */
  written(outcome: 'delivered' | 'failed', seconds: number): void;
  messageDeadLettered(id: string, reason: string): void;
}

const logEveryMs = 10_000;
const secondsBuckets = [0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

export function createDeliveryTelemetry(sink: string, { metrics, log, clock }: { readonly metrics: Metrics; readonly log: Logger; readonly clock: Clock }): DeliveryTelemetry {
  const labels = { sink };
  const messages = metrics.counter({ name: 'hydrant_sink_messages_total', help: 'Messages by what became of them.', labels: ['sink', 'outcome'] });
  const writes = metrics.histogram({ name: 'hydrant_sink_write_seconds', help: 'Time of one try to write a batch.', labels: ['sink', 'outcome'], buckets: secondsBuckets });
  const retries = metrics.counter({ name: 'hydrant_sink_retries_total', help: 'Batches that were tried again.', labels: ['sink'] });
  const splits = metrics.counter({ name: 'hydrant_sink_splits_total', help: 'Batches that were refused and split in halves.', labels: ['sink'] });
  messages.inc(0, { sink, outcome: 'delivered' });
  messages.inc(0, { sink, outcome: 'dead-lettered' });
  retries.inc(0, labels);
  let isFailing = false;
  let deadLettersLoggedMs = -Infinity;
  let deadLettersSince = 0;

  return {
    connectFailed(err) {
      if (!isFailing) log.warn({ err, sink }, 'Destination cannot be connected, will retry');
      isFailing = true;
    },
    written(outcome, seconds) {
      writes.observe(seconds, { sink, outcome });
    },
    batchDelivered(count, attempts) {
      messages.inc(count, { sink, outcome: 'delivered' });
      if (isFailing) log.info({ sink, attempts }, 'Delivery works again');
      isFailing = false;
    },
    batchRetried({ reason, attempts, retryMs, messages: count }) {
      retries.inc(1, labels);
      if (!isFailing) log.warn({ sink, reason, attempts, retryMs, messages: count }, 'Delivery failed, will retry');
      isFailing = true;
    },
    batchSplit(count, reason) {
      splits.inc(1, labels);
      log.debug({ sink, messages: count, reason }, 'Batch was refused, splitting it');
    },
    messageDeadLettered(id, reason) {
      messages.inc(1, { sink, outcome: 'dead-lettered' });
      deadLettersSince += 1;
      if (clock.monotonic() - deadLettersLoggedMs < logEveryMs) return;
      log.warn({ sink, id, reason, count: deadLettersSince }, 'Destination refused a message for good, it goes to the dead letters');
      deadLettersLoggedMs = clock.monotonic();
      deadLettersSince = 0;
    },
  };
}
