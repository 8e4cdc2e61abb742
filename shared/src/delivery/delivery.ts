/**
 * From a bus's handler to a sink: batches messages, keeps at most so many batches in flight, limits each write in time
 * and tells the bus what became of each message.
 *
 * States: connecting (batches wait), open ⇄ paused (what is held goes back, and so does what comes), draining (after
 * `stop`: what is held is tried once more, what fails goes back to the bus), closed. Who holds the subscription pauses,
 * when `whenDown` says that the destination stays down. At the deadline of `stop` the writes under way are cut off, and
 * their messages go back too.
 */
import { setMaxListeners } from 'node:events';
import type { Delivery, Handler, Settlement } from '../bus/bus.ts';
import { createBackoff } from '../foundation/backoff.ts';
import type { Clock } from '../foundation/clock.ts';
import { describeError, isRetryable, toError } from '../foundation/errors.ts';
import type { HealthCheck } from '../runtime/admin/health.ts';
import type { Component } from '../runtime/component.ts';
import { AsideItems } from './aside-items.ts';
import { Batcher } from './batcher.ts';
import { deliverBatch, isLost, type DeliverPorts, type History, type Item } from './deliver-batch.ts';
import { DeliveryHealth } from './delivery-health.ts';
import type { DeliveryOptions } from './delivery-settings.ts';
import type { DeliveryTelemetry } from './delivery-telemetry.ts';
import type { Verdict } from './judge-failure.ts';
import { OutageWatch, type Outage } from './outage-watch.ts';
import type { Batch, Sink } from './sink.ts';
import { writeWithin } from './time-limit.ts';

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
  /**
   * Resolves when the destination has been down for `pauseAfterMs`; with undefined when `signal` aborts before. One
   * caller at a time.
   */
  whenDown(signal: AbortSignal): Promise<Outage | undefined>;
  /** Hands back what is held, and what comes, until `resume`. Resolves when no write is under way. */
  pause(outage: Outage): Promise<void>;
  /**
   * While paused: resolves when the destination answers its health check, or has not for `pauseAfterMs`, or `signal`
   * aborts.
   */
  probe(signal: AbortSignal): Promise<void>;
  resume(): void;
}

export function createDelivery(ports: DeliveryPorts): SinkDelivery {
  return new BatchingDelivery(ports);
}

interface Waiting {
  readonly items: readonly Item[];
  /** Of a message that was set aside. */
  readonly history?: History;
}

const handBack: Settlement = { action: 'retry', afterMs: 0 };
/**
 * How long `start` waits for the first try to connect, whose permanent failure (a package that is not installed) keeps
 * the service from starting.
 */
const connectGraceMs = 2000;

class BatchingDelivery implements SinkDelivery {
  readonly name: string;
  readonly handle: Handler = (delivery) => this.#handle(delivery);
  readonly healthCheck: HealthCheck;
  readonly #ports: DeliveryPorts;
  readonly #outages: OutageWatch;
  readonly #batcher: Batcher<Item>;
  readonly #stopping = new AbortController();
  readonly #giveUp = new AbortController();
  /** Aborts at `pause` and at `stop`; each `resume` makes a new one. */
  #holding = new AbortController();
  #deliverPorts: DeliverPorts;
  #isPaused = false;
  readonly #waiting: Waiting[] = [];
  readonly #aside: AsideItems;
  #taken = 0;
  #failed = 0;
  readonly #running = new Set<Promise<void>>();
  readonly #watched = new WeakSet<AbortSignal>();
  #isConnected = false;
  #connecting: Promise<void> | undefined;
  #stopped: Promise<void> | undefined;
  readonly #health = new DeliveryHealth();

  constructor(ports: DeliveryPorts) {
    const { options, clock } = ports;
    // One listener for each batch in flight.
    setMaxListeners(0, this.#stopping.signal, this.#giveUp.signal);
    this.#ports = ports;
    this.name = `sink ${options.name}`;
    this.#batcher = new Batcher(
      { maxEvents: options.batchEvents, maxBytes: options.batchBytes, maxAgeMs: options.batchAgeMs },
      clock,
      (items) => {
        this.#enqueue({ items });
      },
    );
    this.#aside = new AsideItems(clock, (item, history) => {
      this.#enqueue({ items: [item], history });
    });
    this.healthCheck = { name: `sink-${options.name}`, check: () => this.#health.check(this.#aside.size) };
    this.#outages = new OutageWatch(options.pauseAfterMs, clock);
    this.#deliverPorts = this.#makeDeliverPorts();
  }

  #makeDeliverPorts(): DeliverPorts {
    const { options, clock, sink, telemetry } = this.#ports;
    setMaxListeners(0, this.#holding.signal);
    return {
      write: (batch: Batch) =>
        writeWithin((signal) => sink.write(batch, signal), {
          timeoutMs: options.timeoutMs,
          giveUp: this.#giveUp.signal,
          clock,
        }),
      tally: () => ({ taken: this.#taken, failed: this.#failed }),
      setAside: (item, history, afterMs) => {
        this.#aside.add(item, history, afterMs);
      },
      poisonAfterMs: options.poisonAfterMs,
      retry: options.retry,
      clock,
      stopping: this.#holding.signal,
      telemetry: {
        ...telemetry,
        batchTried: (batch, verdict, seconds, isAside) => {
          this.#noteHealth(verdict, batch.length, isAside);
          telemetry.batchTried(batch, verdict, seconds, isAside);
        },
      },
    };
  }

  async start(signal: AbortSignal): Promise<void> {
    this.#connecting ??= this.#connect();
    const waited = new AbortController();
    try {
      await Promise.race([
        this.#connecting,
        this.#ports.clock.sleep(connectGraceMs, AbortSignal.any([signal, waited.signal])),
      ]);
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
    this.#holding.abort();
    this.#aside.returnAll();
    if (deadline.aborted) giveUp();
    else deadline.addEventListener('abort', giveUp, { once: true });
    this.#stopped ??= this.#stop().finally(() => {
      deadline.removeEventListener('abort', giveUp);
    });
    return this.#stopped;
  }

  whenDown(signal: AbortSignal): Promise<Outage | undefined> {
    return this.#outages.whenLasting(signal);
  }

  async pause(outage: Outage): Promise<void> {
    this.#isPaused = true;
    this.#health.paused(outage);
    this.#ports.telemetry.deliveryPaused(outage.reason, outage.downMs);
    this.#holding.abort();
    this.#aside.returnAll();
    this.#batcher.flush();
    this.#returnWaiting();
    await this.#whenIdle();
  }

  /**
   * n.b. A health check may fail for a reason of its own, such as a right that only it needs: so a write is what
   * decides, after a while in any case.
   */
  async probe(signal: AbortSignal): Promise<void> {
    const { sink, options, telemetry, clock } = this.#ports;
    const { minMs, maxMs } = options.retry;
    const backoff = createBackoff({ minMs, maxMs });
    const untilMs = clock.monotonic() + options.pauseAfterMs;
    while (!signal.aborted && clock.monotonic() < untilMs) {
      await clock.sleep(Math.max(minMs, backoff.next()), signal);
      if (!this.#isConnected) continue;
      try {
        await writeWithin((limit) => sink.healthcheck(limit), { timeoutMs: options.timeoutMs, giveUp: signal, clock });
        return;
      } catch (error) {
        this.#health.probeFailed(describeError(error));
        telemetry.probeFailed(toError(error));
      }
    }
  }

  resume(): void {
    if (!this.#isPaused || this.#stopping.signal.aborted) return;
    this.#isPaused = false;
    this.#health.paused(undefined);
    this.#outages.clear();
    this.#holding = new AbortController();
    this.#deliverPorts = this.#makeDeliverPorts();
    this.#ports.telemetry.deliveryResumed();
  }

  async #stop(): Promise<void> {
    this.#batcher.flush();
    // Its failure was told by `start` or logged.
    await this.#connecting?.catch(() => undefined);
    if (!this.#isConnected) this.#returnWaiting();
    await this.#whenIdle();
    // The last of them may have failed.
    this.#outages.clear();
    await this.#ports.sink.close();
  }

  async #whenIdle(): Promise<void> {
    while (this.#running.size > 0) await Promise.race(this.#running);
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
        this.#health.connecting(undefined);
        this.#outages.clear();
        this.#pump();
        return;
      } catch (error) {
        if (signal.aborted) return;
        this.#health.connecting(describeError(error));
        this.#outages.failed(describeError(error));
        telemetry.connectFailed(toError(error));
        if (!isRetryable(error)) throw error;
        await clock.sleep(backoff.next(), signal);
      }
    }
  }

  #handle({ message, lost }: Delivery): Promise<Settlement> {
    if (this.#holding.signal.aborted || lost?.aborted === true) return Promise.resolve(handBack);
    if (lost !== undefined) this.#watch(lost);
    return new Promise((settle) => {
      this.#batcher.add({ message, settle, lost }, this.#ports.options.encodedBytes(message));
    });
  }

  /** All messages of a channel share the signal. */
  #watch(lost: AbortSignal): void {
    if (this.#watched.has(lost)) return;
    this.#watched.add(lost);
    lost.addEventListener(
      'abort',
      () => {
        this.#dropLost();
      },
      { once: true },
    );
  }

  /**
   * A batch may fill for minutes: what has gone back to its queue comes into it again. What waits elsewhere is looked
   * at before it is tried.
   */
  #dropLost(): void {
    for (const item of this.#batcher.remove(isLost)) item.settle(handBack);
  }

  #enqueue(waiting: Waiting): void {
    this.#waiting.push(waiting);
    this.#pump();
  }

  #pump(): void {
    if (!this.#isConnected) return;
    while (this.#running.size < this.#ports.options.concurrency) {
      const waiting = this.#waiting.shift();
      if (waiting === undefined) return;
      const running = this.#deliver(waiting).finally(() => {
        this.#running.delete(running);
        this.#pump();
      });
      this.#running.add(running);
    }
  }

  /** Never rejects. */
  async #deliver({ items, history }: Waiting): Promise<void> {
    try {
      await deliverBatch(items, this.#deliverPorts, history);
    } catch (error) {
      // A defect of ours. What is settled already stays so; the rest goes back and is not lost.
      this.#ports.telemetry.deliveryBroke(toError(error));
      for (const item of items) item.settle({ action: 'retry', afterMs: this.#ports.options.retry.maxMs });
    }
  }

  #returnWaiting(): void {
    for (const item of this.#waiting.splice(0).flatMap(({ items }) => items)) item.settle(handBack);
  }

  #noteHealth(verdict: Verdict | undefined, messages: number, isAside: boolean): void {
    const isTaken = verdict === undefined || (verdict.kind === 'partial' && verdict.failures.length < messages);
    const isRefused =
      verdict?.kind === 'refused' ||
      (verdict?.kind === 'partial' && verdict.failures.every(({ retryable }) => !retryable));
    if (isTaken || isRefused) {
      if (isTaken) this.#taken += 1;
      if (verdict === undefined || isTaken) this.#health.taken();
      else this.#health.refused(verdict.reason);
      this.#outages.clear();
    } else if (!isAside) {
      this.#failed += 1;
      this.#health.failed(verdict.reason);
      this.#outages.failed(verdict.reason);
    }
  }
}
