/** Counters and log lines of deliveries; one line per outage, not per try. */
import type { Clock } from '../foundation/clock.ts';
import type { Logger } from '../runtime/telemetry/logger.ts';
import type { Metrics } from '../runtime/telemetry/metrics.ts';
import type { DeliverTelemetry } from './deliver-batch.ts';
import type { Verdict } from './judge-failure.ts';

export interface DeliveryTelemetry extends DeliverTelemetry {
  connectFailed(err: Error): void;
  deliveryBroke(err: Error): void;
  /** The queue is left alone until the destination answers. */
  deliveryPaused(reason: string, downMs: number): void;
  probeFailed(err: Error): void;
  deliveryResumed(): void;
}

type Outcome = 'delivered' | 'partial' | 'refused' | 'failed';

const outcomes: Readonly<Record<Verdict['kind'], Outcome>> = {
  partial: 'partial',
  refused: 'refused',
  retry: 'failed',
};
const logEveryMs = 10_000;
const secondsBuckets = [0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
const messagesBuckets = [1, 10, 50, 100, 250, 500, 1000, 5000, 20_000];
const bytesBuckets = [1024, 16_384, 131_072, 524_288, 1_048_576, 2_097_152, 4_194_304, 8_388_608, 16_777_216];

function createMeters(sink: string, metrics: Metrics) {
  const messages = metrics.counter({
    name: 'hydrant_sink_messages_total',
    help: 'Messages by what became of them.',
    labels: ['sink', 'outcome'],
  });
  const writes = metrics.histogram({
    name: 'hydrant_sink_write_seconds',
    help: 'Time of one try to write a batch.',
    labels: ['sink', 'outcome'],
    buckets: secondsBuckets,
  });
  const batchMessages = metrics.histogram({
    name: 'hydrant_sink_batch_messages',
    help: 'Messages in a batch that was tried.',
    labels: ['sink'],
    buckets: messagesBuckets,
  });
  const batchBytes = metrics.histogram({
    name: 'hydrant_sink_batch_bytes',
    help: 'Body bytes in a batch that was tried.',
    labels: ['sink'],
    buckets: bytesBuckets,
  });
  const retries = metrics.counter({
    name: 'hydrant_sink_retries_total',
    help: 'Batches that were tried again.',
    labels: ['sink'],
  });
  const age = metrics.gauge({
    name: 'hydrant_sink_age_seconds',
    help: 'Age of the oldest message in the batch that was tried last, since it was published.',
    labels: ['sink'],
  });
  const splits = metrics.counter({
    name: 'hydrant_sink_splits_total',
    help: 'Batches that were refused and split in halves.',
    labels: ['sink'],
  });
  for (const outcome of ['delivered', 'dead-lettered']) messages.inc(0, { sink, outcome });
  retries.inc(0, { sink });
  splits.inc(0, { sink });
  return { messages, writes, batchMessages, batchBytes, retries, splits, age };
}

type PauseTelemetry = Pick<DeliveryTelemetry, 'deliveryPaused' | 'probeFailed' | 'deliveryResumed'>;

function createPauseTelemetry(
  sink: string,
  { metrics, log }: { readonly metrics: Metrics; readonly log: Logger },
): PauseTelemetry {
  const paused = metrics.gauge({
    name: 'hydrant_sink_paused',
    help: '1 while the queue is left alone because the destination stays down.',
    labels: ['sink'],
  });
  const pauses = metrics.counter({
    name: 'hydrant_sink_pauses_total',
    help: 'How often the queue was left alone because the destination stayed down.',
    labels: ['sink'],
  });
  paused.set(0, { sink });
  pauses.inc(0, { sink });
  return {
    deliveryPaused(reason, downMs) {
      paused.set(1, { sink });
      pauses.inc(1, { sink });
      log.warn(
        { sink, reason, downMs: Math.round(downMs) },
        'Destination stays down: what was in hand goes back, the queue is left alone until it answers',
      );
    },
    probeFailed(err) {
      log.debug({ err, sink }, 'Destination does not answer yet');
    },
    deliveryResumed() {
      paused.set(0, { sink });
      log.info({ sink }, 'The queue is consumed again');
    },
  };
}

export function createDeliveryTelemetry(
  sink: string,
  { metrics, log, clock }: { readonly metrics: Metrics; readonly log: Logger; readonly clock: Clock },
): DeliveryTelemetry {
  const meters = createMeters(sink, metrics);
  let isFailing = false;
  let failureLoggedMs = -Infinity;
  let deadLettersLoggedMs = -Infinity;
  let deadLettersSince = 0;

  /** A destination that fails now and then is told of once in a while, not at each turn. */
  function noteFailure(write: () => void): void {
    if (isFailing || clock.monotonic() - failureLoggedMs < logEveryMs) return;
    isFailing = true;
    failureLoggedMs = clock.monotonic();
    write();
  }

  return {
    ...createPauseTelemetry(sink, { metrics, log }),
    connectFailed(err) {
      noteFailure(() => {
        log.warn({ err, sink }, 'Destination cannot be connected');
      });
    },
    deliveryBroke(err) {
      log.error({ err, sink }, 'Delivery of a batch broke off, its messages go back: it is a defect of the program');
    },
    batchTried(batch, verdict, seconds) {
      let bytes = 0;
      let publishedMs = clock.now();
      for (const message of batch) {
        bytes += message.body.length;
        publishedMs = Math.min(publishedMs, message.timestampMs);
      }
      meters.age.set((clock.now() - publishedMs) / 1000, { sink });
      meters.writes.observe(seconds, { sink, outcome: verdict === undefined ? 'delivered' : outcomes[verdict.kind] });
      meters.batchMessages.observe(batch.length, { sink });
      meters.batchBytes.observe(bytes, { sink });
    },
    messagesDelivered(count, attempts) {
      meters.messages.inc(count, { sink, outcome: 'delivered' });
      if (isFailing) log.info({ sink, attempts }, 'Delivery works again');
      isFailing = false;
    },
    batchRetried({ reason, attempts, retryMs, messages }) {
      meters.retries.inc(1, { sink });
      noteFailure(() => {
        log.warn({ sink, reason, attempts, retryMs, messages }, 'Delivery failed, will retry');
      });
    },
    batchSplit(messages, reason) {
      meters.splits.inc(1, { sink });
      log.debug({ sink, messages, reason }, 'Batch was refused, splitting it');
    },
    messageDeadLettered(id, reason) {
      meters.messages.inc(1, { sink, outcome: 'dead-lettered' });
      deadLettersSince += 1;
      if (clock.monotonic() - deadLettersLoggedMs < logEveryMs) return;
      log.warn(
        { sink, id, reason, count: deadLettersSince },
        'A message cannot be delivered, it goes to the dead letters',
      );
      deadLettersLoggedMs = clock.monotonic();
      deadLettersSince = 0;
    },
  };
}
