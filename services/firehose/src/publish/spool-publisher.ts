/**
 * Moves records from the spool to the bus: many in flight, in order. When the bus refuses one, it lets the others
 * settle, waits, and begins again at the oldest record that is not confirmed; so the order of first deliveries is kept
 * and repeats carry the ids they had.
 */
import { createBackoff, type Backoff } from '@hydrant/shared/foundation/backoff';
import type { Bus, PublishResult } from '@hydrant/shared/bus/bus';
import type { Clock } from '@hydrant/shared/foundation/clock';
import { formatDuration } from '@hydrant/shared/foundation/durations';
import { describeError, errorCode, toError } from '@hydrant/shared/foundation/errors';
import type { Message } from '@hydrant/shared/messages/message';
import type { Health } from '@hydrant/shared/runtime/admin/health';
import type { Cursor, SpoolRecord } from '@hydrant/shared/spool/spool';
import type { CheckpointTracker } from '../checkpoint/tracker.ts';
import type { HeldLease } from '../lease/lease.ts';
import { streamIndex } from '../message/stream-index.ts';

export interface PublisherTelemetry {
  /** `index` is undefined for what is not of the stream. */
  eventConfirmed(result: PublishResult, index: number | undefined, routingKey: string): void;
  /** `isRepeat`: nothing has been confirmed since the last one. */
  publishFailed(failure: { readonly unconfirmed: number; readonly isRepeat: boolean; readonly err: Error }): void;
  /** The bus will never take it: it is lost. */
  eventDropped(event: { readonly id: string; readonly bytes: number; readonly err: Error }): void;
}

export interface PublisherOptions {
  readonly maxInFlight?: number;
  readonly maxInFlightBytes?: number;
  readonly retryMinMs?: number;
  readonly retryMaxMs?: number;
  /** While draining: gives up when nothing has been confirmed for so long. */
  readonly drainStallMs?: number;
}

export interface PublisherPorts {
  readonly bus: Pick<Bus, 'publish'>;
  readonly cursor: Cursor;
  readonly tracker: CheckpointTracker;
  /** Nothing is handed to the bus while it is not held. Undefined: there is no other publisher. */
  readonly lease?: Pick<HeldLease, 'isHeld' | 'untilHeld'> | undefined;
  readonly telemetry: PublisherTelemetry;
  readonly clock: Clock;
}

const defaults = {
  maxInFlight: 1000,
  maxInFlightBytes: 64 * 1024 * 1024,
  retryMinMs: 100,
  retryMaxMs: 10_000,
  drainStallMs: 5_000,
};
const drainLookMs = 20;
/** Above what a reconnect or an election in the broker takes. */
const stalledMs = 30_000;

export class SpoolPublisher {
  readonly #options: typeof defaults;
  readonly #ports: PublisherPorts;
  readonly #backoff: Backoff;
  readonly #stopping = new AbortController();
  #running: Promise<void> | undefined;
  #inFlight = 0;
  #inFlightBytes = 0;
  #failure: Error | undefined;
  /** For people; until the oldest record is confirmed. */
  #failureReason: string | undefined;
  /** The oldest record that was not confirmed at the last failure. */
  #failedAt = 0;
  /** Ends the wait for more records when a publish has failed. */
  #reading = new AbortController();
  #wake: (() => void) | undefined;
  #lastConfirmMs = 0;
  /** Since when the oldest record that was handed to the bus has been the oldest; undefined: there is none. */
  #oldestSinceMs: number | undefined;

  constructor(options: PublisherOptions, ports: PublisherPorts) {
    this.#options = { ...defaults, ...options };
    this.#ports = ports;
    this.#backoff = createBackoff({ minMs: this.#options.retryMinMs, maxMs: this.#options.retryMaxMs });
  }

  /** Events handed to the bus and not confirmed. */
  get unconfirmed(): number {
    return this.#inFlight;
  }

  /** Fails when the bus has left the oldest event without a confirm for too long, whether it is silent or refuses. */
  health(): Health {
    const { clock } = this.#ports;
    const waitedMs = this.#oldestSinceMs === undefined ? 0 : clock.monotonic() - this.#oldestSinceMs;
    if (waitedMs < stalledMs) return { status: 'pass' };
    const why = this.#failureReason === undefined ? '' : `: ${this.#failureReason}`;
    return {
      status: 'fail',
      detail: `The oldest event has waited for its confirm for ${formatDuration(Math.floor(waitedMs / 1000) * 1000)}${why}`,
    };
  }

  start(): void {
    this.#running ??= this.#run(this.#stopping.signal);
  }

  /**
   * Publishes what the spool holds, then ends. Gives up when `deadline` aborts or nothing moves any more: what is not
   * confirmed then is read again from Nomad. Resolves to the number of records that are left.
   */
  async stop(deadline: AbortSignal): Promise<number> {
    const { clock, cursor } = this.#ports;
    const { drainStallMs } = this.#options;
    this.#lastConfirmMs = clock.monotonic();
    while (
      this.#running !== undefined &&
      cursor.lag > 0 &&
      !deadline.aborted &&
      clock.monotonic() - this.#lastConfirmMs < drainStallMs
    ) {
      await clock.sleep(drainLookMs, deadline);
    }
    this.#stopping.abort();
    this.#reading.abort();
    this.#wake?.();
    await this.#running;
    return cursor.lag;
  }

  async #run(stop: AbortSignal): Promise<void> {
    while (!stop.aborted) {
      await this.#untilRoom(stop);
      await this.#ports.lease?.untilHeld(stop);
      if (stop.aborted) return;
      if (this.#failure !== undefined) await this.#goBack(this.#failure, stop);
      else await this.#sendNext();
    }
  }

  async #sendNext(): Promise<void> {
    const { maxInFlight, maxInFlightBytes } = this.#options;
    const { cursor, lease } = this.#ports;
    const limits = { maxRecords: maxInFlight - this.#inFlight, maxBytes: maxInFlightBytes - this.#inFlightBytes };
    try {
      for (const record of await cursor.read(limits, this.#reading.signal)) {
        if (lease?.isHeld === false) {
          cursor.rewind(record.position);
          return;
        }
        this.#send(record);
      }
    } catch (thrown) {
      this.#failure ??= toError(thrown);
    }
  }

  #send({ position, message }: SpoolRecord): void {
    const { bus, tracker } = this.#ports;
    const index = streamIndex(message);
    const bytes = message.body.length;
    this.#inFlight += 1;
    this.#inFlightBytes += bytes;
    this.#oldestSinceMs ??= this.#ports.clock.monotonic();
    tracker.sent(position, index);
    bus.publish(message, { mandatory: true }).then(
      (result) => {
        this.#ports.telemetry.eventConfirmed(result, index, message.routingKey);
        this.#settle(position, bytes);
      },
      (thrown: unknown) => {
        this.#takeFailure(position, message, toError(thrown));
      },
    );
  }

  #settle(position: number, bytes: number): void {
    const { clock, cursor, tracker } = this.#ports;
    const before = tracker.position;
    tracker.confirmed(position);
    cursor.commit(tracker.position);
    this.#lastConfirmMs = clock.monotonic();
    this.#release(bytes);
    if (tracker.position === before) return;
    this.#failureReason = undefined;
    this.#oldestSinceMs = this.#inFlight > 0 || this.#failure !== undefined ? this.#lastConfirmMs : undefined;
  }

  #takeFailure(position: number, message: Message, err: Error): void {
    const bytes = message.body.length;
    if (errorCode(err) === 'bus-message-invalid') {
      this.#ports.telemetry.eventDropped({ id: message.id, bytes, err });
      this.#settle(position, bytes);
      return;
    }
    this.#failure ??= err;
    this.#failureReason = describeError(err);
    this.#reading.abort();
    this.#release(bytes);
  }

  #release(bytes: number): void {
    this.#inFlight -= 1;
    this.#inFlightBytes -= bytes;
    if (this.#wake !== undefined && this.#hasRoom()) this.#wake();
  }

  /** Room for a quarter of the window, so that records are read in handfuls; after a failure, an empty window. */
  #hasRoom(): boolean {
    if (this.#failure !== undefined) return this.#inFlight === 0;
    const { maxInFlight, maxInFlightBytes } = this.#options;
    return this.#inFlight <= maxInFlight * 0.75 && this.#inFlightBytes <= maxInFlightBytes * 0.75;
  }

  async #untilRoom(stop: AbortSignal): Promise<void> {
    while (!this.#hasRoom() && !stop.aborted) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = undefined;
    }
  }

  /** Everything in flight has settled: what was confirmed after the oldest that was not is sent a second time. */
  async #goBack(err: Error, stop: AbortSignal): Promise<void> {
    const { clock, cursor, telemetry, tracker } = this.#ports;
    const oldest = tracker.position + 1;
    const isRepeat = oldest === this.#failedAt;
    this.#failedAt = oldest;
    if (!isRepeat) this.#backoff.reset();
    telemetry.publishFailed({ unconfirmed: cursor.lag, isRepeat, err });
    await clock.sleep(this.#backoff.next(), stop);
    this.#failure = undefined;
    if (!stop.aborted) this.#reading = new AbortController();
    tracker.goBack();
    cursor.rewind(oldest);
  }
}
