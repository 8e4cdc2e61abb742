/**
 * From a bus's handler to a sink: batches messages, keeps at most so many batches in flight, limits each write in time and tells the bus what became of each message.
 *
 * States: connecting (batches wait), open, draining (after `stop`: what is held is tried once more, what fails goes back to the bus), closed.
 * At the deadline of `stop` the writes under way are cut off, and their messages go back too.
 */
import { setMaxListeners } from 'node:events';
import type { Delivery, Handler, Settlement } from '../bus/bus.ts';
import { createBackoff } from '../foundation/backoff.ts';
import type { Clock } from '../foundation/clock.ts';
import { describeError, isRetryable, toError } from '../foundation/errors.ts';
import type { Health, HealthCheck } from '../runtime/admin/health.ts';
import type { Component } from '../runtime/component.ts';
import { Batcher } from './batcher.ts';
import { deliverBatch, type DeliverPorts, type Item } from './deliver-batch.ts';
import type { DeliveryOptions } from './delivery-settings.ts';
import type { DeliveryTelemetry } from './delivery-telemetry.ts';
import type { Verdict } from './outcome.ts';
import type { Batch, Sink } from './sink.ts';
import { writeWithin } from './write-within.ts';

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

const handBack: Settlement = { action: 'retry', afterMs: 0 };
/** How long `start` waits for the first try to connect, whose permanent failure (a package that is not installed) keeps the service from starting. */
const connectGraceMs = 2000;
/** One failure is an incident, so many in a row are an outage. */
const failuresUntilUnhealthy = 3;

class BatchingDelivery implements SinkDelivery {
  readonly name: string;
  readonly handle: Handler = (delivery) => this.#handle(delivery);
  readonly healthCheck: HealthCheck;
  readonly #ports: DeliveryPorts;
  readonly #deliverPorts: DeliverPorts;
  readonly #batcher: Batcher<Item>;
  readonly #stopping = new AbortController();
  readonly #giveUp = new AbortController();
  readonly #waiting: (readonly Item[])[] = [];
  readonly #running = new Set<Promise<void>>();
  #isConnected = false;
  #connecting: Promise<void> | undefined;
  #stopped: Promise<void> | undefined;
  #connectError: string | undefined = 'Not connected yet';
  #failures = 0;
  #lastFailure = '';

  constructor(ports: DeliveryPorts) {
    const { options, clock, sink, telemetry } = ports;
    // One listener for each batch in flight.
    setMaxListeners(0, this.#stopping.signal, this.#giveUp.signal);
    this.#ports = ports;
    this.name = `sink ${options.name}`;
    this.#batcher = new Batcher({ maxEvents: options.batchEvents, maxBytes: options.batchBytes, maxAgeMs: options.batchAgeMs }, clock, (items) => { this.#enqueue(items); });
    this.healthCheck = { name: `sink-${options.name}`, check: () => this.#health() };
    this.#deliverPorts = {
      write: (batch: Batch) => writeWithin((signal) => sink.write(batch, signal), { timeoutMs: options.timeoutMs, giveUp: this.#giveUp.signal, clock }),
      retry: options.retry,
      clock,
      stopping: this.#stopping.signal,
      telemetry: {
        ...telemetry,
        batchTried: (batch, verdict, seconds) => {
          this.#noteHealth(verdict, batch.length);
          telemetry.batchTried(batch, verdict, seconds);
        },
      },
    };
  }

  async start(signal: AbortSignal): Promise<void> {
    this.#connecting ??= this.#connect();
    const waited = new AbortController();
    try {
      await Promise.race([this.#connecting, this.#ports.clock.sleep(connectGraceMs, AbortSignal.any([signal, waited.signal]))]);
    } finally {
      waited.abort();
    }
  }

  stop(deadline: AbortSignal): Promise<void> {
    const giveUp = (): void => {
      this.#giveUp.abort();
      this.#returnWaiting();
    };
    this.#stopping.abort();
    if (deadline.aborted) giveUp();
    else deadline.addEventListener('abort', giveUp, { once: true });
    this.#stopped ??= this.#stop().finally(() => { deadline.removeEventListener('abort', giveUp); });
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    this.#batcher.flush();
    // Its failure was told by `start` or logged.
    await this.#connecting?.catch(() => undefined);
    if (!this.#isConnected) this.#returnWaiting();
    while (this.#running.size > 0) await Promise.race(this.#running);
    await this.#ports.sink.close();
  }

  /** Rejects when it can never work; resolves when it works or when there is no more need. */
  async #connect(): Promise<void> {
    const { sink, options, telemetry, clock } = this.#ports;
    const backoff = createBackoff({ minMs: options.retry.minMs, maxMs: options.retry.maxMs });
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      try {
        await sink.connect(signal);
        this.#isConnected = true;
        this.#connectError = undefined;
        this.#pump();
        return;
      } catch (error) {
        if (signal.aborted) return;
        this.#connectError = describeError(error);
        telemetry.connectFailed(toError(error));
        if (!isRetryable(error)) throw error;
        await clock.sleep(backoff.next(), signal);
      }
    }
  }

  #handle({ message }: Delivery): Promise<Settlement> {
    if (this.#stopping.signal.aborted) return Promise.resolve(handBack);
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

  /** Never rejects. */
  async #deliver(items: readonly Item[]): Promise<void> {
    try {
      await deliverBatch(items, this.#deliverPorts);
    } catch (error) {
      // A defect of ours. What is settled already stays so; the rest goes back and is not lost.
      this.#ports.telemetry.deliveryBroke(toError(error));
      for (const item of items) item.settle({ action: 'retry', afterMs: this.#ports.options.retry.maxMs });
    }
  }

  #returnWaiting(): void {
    for (const item of this.#waiting.splice(0).flat()) item.settle(handBack);
  }

  /** A message that is refused says nothing against the destination. */
  #noteHealth(verdict: Verdict | undefined, messages: number): void {
    const isProgress = verdict?.kind === 'partial' && verdict.failures.length < messages;
    if (verdict === undefined || verdict.kind === 'refused' || isProgress) {
      this.#failures = 0;
      return;
    }
    this.#failures += 1;
    this.#lastFailure = verdict.reason;
  }

  #health(): Health {
    if (this.#connectError !== undefined) return { status: 'fail', detail: this.#connectError };
    if (this.#failures < failuresUntilUnhealthy) return { status: 'pass' };
    return { status: 'fail', detail: `${String(this.#failures)} tries in a row failed: ${this.#lastFailure}` };
  }
}
