/**
 * From a bus's handler to a sink: batches messages, keeps at most so many batches in flight, limits each write in time and tells the bus what became of each message.
 *
 * States: connecting (batches wait), open, draining (after `stop`: what is held is flushed and retried until the deadline), closed.
 */
import type { Delivery, Handler, Settlement } from '../bus/bus.ts';
import { createBackoff } from '../foundation/backoff.ts';
import type { Clock } from '../foundation/clock.ts';
import { describeError, toError } from '../foundation/errors.ts';
import type { HealthCheck } from '../runtime/admin/health.ts';
import type { Component } from '../runtime/component.ts';
import { Batcher } from './batcher.ts';
import { deliverBatch, type DeliverPorts, type Item } from './deliver-batch.ts';
import type { DeliveryOptions } from './delivery-settings.ts';
import type { DeliveryTelemetry } from './delivery-telemetry.ts';
import { retryable, type Batch, type Sink } from './sink.ts';

export interface DeliveryPorts {
  readonly sink: Sink;
  readonly options: DeliveryOptions;
  readonly telemetry: DeliveryTelemetry;
  readonly clock: Clock;
}

export interface SinkDelivery extends Component {
  /** For `bus.subscribe`. */
  readonly handle: Handler;
  readonly healthCheck: HealthCheck;
}

export function createDelivery(ports: DeliveryPorts): SinkDelivery {
  return new BatchingDelivery(ports);
}

class BatchingDelivery implements SinkDelivery {
  readonly name: string;
  readonly handle: Handler = (delivery) => this.#handle(delivery);
  readonly healthCheck: HealthCheck;
  readonly #ports: DeliveryPorts;
  readonly #batcher: Batcher<Item>;
  readonly #giveUp = new AbortController();
  readonly #waiting: (readonly Item[])[] = [];
  readonly #running = new Set<Promise<void>>();
  #isConnected = false;
  #connecting: Promise<void> | undefined;
  #lastError: string | undefined = 'not connected yet';

  constructor(ports: DeliveryPorts) {
    const { options, clock } = ports;
    this.#ports = ports;
    this.name = `sink ${options.name}`;
    this.#batcher = new Batcher({ maxEvents: options.batchEvents, maxBytes: options.batchBytes, maxAgeMs: options.batchAgeMs }, clock, (items) => { this.#enqueue(items); });
    this.healthCheck = {
      name: `sink-${options.name}`,
      check: () => (this.#lastError === undefined ? { status: 'pass' } : { status: 'fail', detail: this.#lastError }),
    };
  }

  start(): Promise<void> {
    this.#connecting ??= this.#connect();
    return Promise.resolve();
  }

  async stop(deadline: AbortSignal): Promise<void> {
    const giveUp = (): void => { this.#giveUp.abort(); };
    if (deadline.aborted) giveUp();
    else deadline.addEventListener('abort', giveUp, { once: true });
    this.#batcher.flush();
    if (!this.#isConnected && this.#waiting.length === 0) giveUp();
    await this.#connecting;
    while (this.#waiting.length > 0 || this.#running.size > 0) {
      if (this.#giveUp.signal.aborted) this.#returnWaiting();
      await Promise.race([...this.#running]);
    }
    giveUp();
    await this.#ports.sink.close();
  }

  async #connect(): Promise<void> {
    const { sink, options, telemetry, clock } = this.#ports;
    const backoff = createBackoff({ minMs: options.retry.minMs, maxMs: options.retry.maxMs });
    const { signal } = this.#giveUp;
    while (!signal.aborted) {
      try {
        await sink.connect(signal);
        this.#isConnected = true;
        this.#lastError = undefined;
        this.#pump();
        return;
      } catch (error) {
        if (signal.aborted) break;
        this.#lastError = describeError(error);
        telemetry.connectFailed(toError(error));
        await clock.sleep(backoff.next(), signal);
      }
    }
    this.#returnWaiting();
  }

  #handle({ message }: Delivery): Promise<Settlement> {
    if (this.#giveUp.signal.aborted) return Promise.resolve({ action: 'retry', afterMs: 0 });
    return new Promise((settle) => {
      this.#batcher.add({ message, settle }, this.#ports.options.encodedBytes(message));
    });
  }

  #enqueue(items: readonly Item[]): void {
    this.#waiting.push(items);
    this.#pump();
  }

  #pump(): void {
    if (!this.#isConnected) return;
    while (this.#running.size < this.#ports.options.concurrency) {
      const items = this.#waiting.shift();
      if (items === undefined) return;
      const running = this.#deliver(items).finally(() => {
        this.#running.delete(running);
        this.#pump();
      });
      this.#running.add(running);
    }
  }

  async #deliver(items: readonly Item[]): Promise<void> {
    const { options, telemetry, clock } = this.#ports;
    const ports: DeliverPorts = { write: (batch) => this.#write(batch), retry: options.retry, clock, giveUp: this.#giveUp.signal, telemetry };
    const counted = items.map((item): Item => ({
      message: item.message,
      settle: (settlement) => {
        if (settlement.action === 'dead-letter') telemetry.messageDeadLettered(item.message.id, settlement.reason);
        item.settle(settlement);
      },
    }));
    await deliverBatch(counted, ports);
  }

  /** One try under SINK_TIMEOUT. A sink that ignores its signal does not hold up the retry. */
  async #write(batch: Batch): Promise<void> {
    const { sink, options, telemetry, clock } = this.#ports;
    const limit = new AbortController();
    const startedAt = clock.monotonic();
    let onTimeout: (error: Error) => void = () => undefined;
    const timedOut = new Promise<never>((_resolve, reject) => { onTimeout = reject; });
    const timer = clock.after(options.timeoutMs, () => {
      limit.abort();
      onTimeout(retryable(`Expected the destination to answer within ${String(options.timeoutMs)} ms (SINK_TIMEOUT), it did not`));
    });
    try {
      await Promise.race([sink.write(batch, limit.signal), timedOut]);
      this.#lastError = undefined;
      telemetry.written('delivered', (clock.monotonic() - startedAt) / 1000);
    } catch (error) {
      this.#lastError = describeError(error);
      telemetry.written('failed', (clock.monotonic() - startedAt) / 1000);
      throw error;
    } finally {
      timer.cancel();
    }
  }

  #returnWaiting(): void {
    for (const item of this.#waiting.splice(0).flat()) item.settle({ action: 'retry', afterMs: 0 });
  }
}
