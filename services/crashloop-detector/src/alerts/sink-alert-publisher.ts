/**
 * Alerts go to any destination that a sink knows. One alert at a time: they are few, and some sinks allow no more.
 * Trying again is left to the event, which stays in its queue until its alert is out.
 */
import type { Sink } from '@hydrant/shared/delivery/sink';
import { createBackoff } from '@hydrant/shared/foundation/backoff';
import type { Clock } from '@hydrant/shared/foundation/clock';
import { describeError, HydrantError } from '@hydrant/shared/foundation/errors';
import type { Message } from '@hydrant/shared/messages/message';
import type { Health, HealthCheck } from '@hydrant/shared/runtime/admin/health';
import type { Component } from '@hydrant/shared/runtime/component';
import type { Logger } from '@hydrant/shared/runtime/telemetry/logger';
import type { AlertPublisher } from './alert-publisher.ts';

export interface SinkAlertPublisherOptions {
  readonly sink: Sink;
  /** Longest time one alert may take. */
  readonly timeoutMs: number;
  readonly log: Logger;
  readonly clock: Clock;
}

export class SinkAlertPublisher implements AlertPublisher, Component {
  readonly name = 'alert-sink';
  readonly healthCheck: HealthCheck = { name: 'alert-sink', check: () => this.#health };
  readonly #options: SinkAlertPublisherOptions;
  readonly #stopping = new AbortController();
  /** Ends the write under way. */
  readonly #givingUp = new AbortController();
  #connecting: Promise<void> = Promise.resolve();
  /** Ends when every alert so far has been tried. */
  #queue: Promise<unknown> = Promise.resolve();
  #isConnected = false;
  #health: Health = { status: 'fail', detail: 'Not connected yet' };

  constructor(options: SinkAlertPublisherOptions) {
    this.#options = options;
  }

  start(): Promise<void> {
    this.#connecting = this.#connect();
    return Promise.resolve();
  }

  async stop(deadline: AbortSignal): Promise<void> {
    this.#stopping.abort();
    const giveUp = (): void => {
      this.#givingUp.abort();
    };
    if (deadline.aborted) giveUp();
    else deadline.addEventListener('abort', giveUp, { once: true });
    await this.#connecting;
    await this.#queue;
    await this.#options.sink.close();
  }

  publish(message: Message): Promise<'routed'> {
    const publishing = this.#queue.then(() => this.#write(message));
    this.#queue = publishing.catch(() => undefined);
    return publishing;
  }

  async #connect(): Promise<void> {
    const { clock, log, sink } = this.#options;
    const { signal } = this.#stopping;
    const backoff = createBackoff({ minMs: 200, maxMs: 30_000 });
    while (!signal.aborted) {
      try {
        await sink.connect(signal);
        this.#isConnected = true;
        this.#health = { status: 'pass' };
        return;
      } catch (err) {
        if (signal.aborted) return;
        if (this.#health.detail !== describeError(err))
          log.warn({ err }, 'Destination of alerts cannot be reached, will retry');
        this.#health = { status: 'fail', detail: describeError(err) };
        await clock.sleep(backoff.next(), signal);
      }
    }
  }

  async #write(message: Message): Promise<'routed'> {
    if (!this.#isConnected || this.#stopping.signal.aborted) {
      throw new HydrantError('Expected the destination of alerts to be connected, it is not', {
        code: 'alert-sink-unavailable',
        retryable: true,
      });
    }
    const timeout = new AbortController();
    const timer = this.#options.clock.after(this.#options.timeoutMs, () => {
      timeout.abort();
    });
    try {
      await this.#options.sink.write([message], AbortSignal.any([timeout.signal, this.#givingUp.signal]));
      this.#health = { status: 'pass' };
      return 'routed';
    } catch (error) {
      this.#health = { status: 'fail', detail: describeError(error) };
      throw error;
    } finally {
      timer.cancel();
    }
  }
}
