/**
 * Publishes on one confirm channel, many messages in flight. Each publish settles exactly once: by the broker's
 * confirm, by its refusal, or by the loss of the channel, whichever comes first. Nothing is kept for a later try: that
 * is the caller's to decide.
 *
 * After a refusal a new channel takes the place of the old one, which goes when all that it was given has settled: a
 * channel remembers where it found a queue's leader, and when that node has died since, some versions of RabbitMQ
 * refuse on that channel until the node is back.
 */
import type { ChannelModel, ConfirmChannel, Message as ReturnedMessage } from 'amqplib';
import type { Clock } from '../../foundation/clock.ts';
import { formatDuration } from '../../foundation/durations.ts';
import { toError } from '../../foundation/errors.ts';
import type { Message } from '../../messages/message.ts';
import type { PublishResult } from '../bus.ts';
import { invalidMessage, refused, unavailable } from './amqp-errors.ts';
import { toPublishOptions } from './message-codec.ts';
import { unlessAborted } from './waits.ts';
import { WriteBatcher } from './cork-socket.ts';

interface Pending {
  readonly exchange: string;
  readonly message: Message;
  readonly mandatory: boolean;
  readonly atMs: number;
  readonly resolve: (result: PublishResult) => void;
  readonly reject: (error: Error) => void;
}

/** A channel and what it was given. */
interface Lane {
  readonly model: ChannelModel;
  readonly channel: ConfirmChannel;
  readonly batcher: WriteBatcher;
  readonly onLost: (reason: Error) => void;
  inFlight: number;
  /** Another one takes its place, or has done so. */
  isRetired: boolean;
  isLost: boolean;
}

/** Frames in amqplib's buffer (two or three per message) before callers wait. */
const writeBufferFrames = 4096;
/** Above what an election of a queue's leader takes. */
const troubleMs = 30_000;
/** Whoever is refused tries again sooner; later, nobody has anything to publish any more. */
const refusalsLastMs = 60_000;

function seconds(ms: number): string {
  return formatDuration(Math.floor(ms / 1000) * 1000);
}

export class AmqpPublisher {
  #lane: Lane | undefined;
  /** Filled while the write buffer is full; sent in order when it has drained. */
  #waiting: Pending[] = [];
  #isFull = false;
  /** Published and not settled, oldest first. */
  readonly #unsettled = new Set<Pending>();
  /** Nothing has been confirmed since, and the broker has refused. */
  #refusals: { readonly sinceMs: number; readonly lastMs: number } | undefined;
  #lossReason = 'there is no connection yet';
  /** The broker's own limit, learned when it closed the channel over a message; as long as the process lives. */
  #maxBodyBytes = Number.POSITIVE_INFINITY;
  /** Ids of mandatory messages that came back, until their confirm follows. */
  readonly #returned = new Map<string, number>();
  readonly #clock: Pick<Clock, 'monotonic'>;
  #onIdle: () => void = () => undefined;

  constructor(clock: Pick<Clock, 'monotonic'>) {
    this.#clock = clock;
  }

  /** Published and not settled. */
  get unconfirmed(): number {
    return this.#unsettled.size;
  }

  /**
   * A sentence when the broker takes connections and no messages: it has left the oldest one without a confirm for too
   * long, or refuses each.
   */
  get trouble(): string | undefined {
    const nowMs = this.#clock.monotonic();
    const waitedMs = nowMs - (this.#oldest()?.atMs ?? nowMs);
    if (waitedMs >= troubleMs) {
      return `RabbitMQ has not confirmed the oldest of ${String(this.unconfirmed)} messages for ${seconds(waitedMs)}: a queue may have lost the majority of its nodes ("rabbitmq-queues quorum_status"), or RabbitMQ is overloaded`;
    }
    if (this.#refusals === undefined || nowMs - this.#refusals.lastMs > refusalsLastMs) return undefined;
    const refusedMs = nowMs - this.#refusals.sinceMs;
    return refusedMs < troubleMs
      ? undefined
      : `RabbitMQ has refused every message for ${seconds(refusedMs)}: a queue is full (x-overflow reject-publish) or has no leader`;
  }

  /** Takes a new connection into use. `onLost` is called when its channel ends while the connection may still stand. */
  async open(model: ChannelModel, onLost: (reason: Error) => void): Promise<void> {
    const channel = await model.createConfirmChannel({ highWaterMark: writeBufferFrames });
    const lane: Lane = {
      model,
      channel,
      batcher: new WriteBatcher(model),
      onLost,
      inFlight: 0,
      isRetired: false,
      isLost: false,
    };
    let reason: Error | undefined;
    channel.on('error', (error: Error) => {
      reason = error;
      this.#learnLimit(error);
    });
    channel.on('drain', () => {
      this.#drain(lane);
    });
    channel.on('return', (message: ReturnedMessage) => {
      this.#noteReturn(message);
    });
    // Before amqplib's own listener, which fails all that is outstanding: then `isLost` tells a loss from a refusal.
    channel.prependListener('close', () => {
      this.#lose(lane, reason);
    });
    this.#lane = lane;
    this.#drain(lane);
  }

  publish(exchange: string, message: Message, mandatory: boolean): Promise<PublishResult> {
    if (this.#lane === undefined) return Promise.reject(unavailable(this.#lossReason));
    if (message.body.length > this.#maxBodyBytes) return Promise.reject(this.#tooLarge(message));
    return new Promise((resolve, reject) => {
      const pending: Pending = { exchange, message, mandatory, atMs: this.#clock.monotonic(), resolve, reject };
      this.#unsettled.add(pending);
      if (this.#isFull) this.#waiting.push(pending);
      else this.#send(pending);
    });
  }

  /** Resolves when nothing is unconfirmed or `signal` aborts. One caller at a time. */
  async whenIdle(signal: AbortSignal): Promise<void> {
    while (this.unconfirmed > 0 && !signal.aborted) {
      await unlessAborted(
        new Promise<void>((resolve) => {
          this.#onIdle = resolve;
        }),
        signal,
      );
    }
  }

  #send(pending: Pending): void {
    const lane = this.#lane;
    if (lane === undefined) {
      this.#reject(pending, unavailable(this.#lossReason));
      return;
    }
    const { message } = pending;
    lane.batcher.hold();
    lane.inFlight += 1;
    try {
      const hasRoom = lane.channel.publish(
        pending.exchange,
        message.routingKey,
        message.body,
        toPublishOptions(message, pending.mandatory),
        (error: unknown) => {
          this.#settle(lane, pending, error);
        },
      );
      if (!hasRoom) this.#isFull = true;
    } catch (thrown) {
      lane.inFlight -= 1;
      // A type or range error is about this message; anything else says that the channel is closing.
      const isInvalid = thrown instanceof TypeError || thrown instanceof RangeError;
      this.#reject(
        pending,
        isInvalid ? invalidMessage(message.id, thrown.message, thrown) : unavailable('its channel is closing', thrown),
      );
      if (this.unconfirmed === 0) this.#onIdle();
    }
  }

  #oldest(): Pending | undefined {
    for (const pending of this.#unsettled) return pending;
    return undefined;
  }

  #reject(pending: Pending, error: Error): void {
    this.#unsettled.delete(pending);
    pending.reject(error);
  }

  #settle(lane: Lane, pending: Pending, error: unknown): void {
    lane.inFlight -= 1;
    if (error === null || error === undefined) {
      this.#unsettled.delete(pending);
      this.#refusals = undefined;
      pending.resolve(pending.mandatory && this.#takeReturn(pending.message.id) ? 'unrouted' : 'routed');
    } else if (!lane.isLost) {
      const nowMs = this.#clock.monotonic();
      this.#refusals = { sinceMs: this.#refusals?.sinceMs ?? nowMs, lastMs: nowMs };
      this.#reject(pending, refused(pending.message.routingKey));
      if (!lane.isRetired) void this.#replace(lane);
    } else if (pending.message.body.length > this.#maxBodyBytes) {
      this.#reject(pending, this.#tooLarge(pending.message));
    } else {
      this.#reject(pending, unavailable(`the connection was lost before it confirmed (${this.#lossReason})`));
    }
    if (lane.isRetired) this.#leave(lane);
    if (this.unconfirmed === 0) this.#onIdle();
  }

  /** Never rejects. Until there is another one, `lane` is used on. */
  async #replace(lane: Lane): Promise<void> {
    lane.isRetired = true;
    try {
      await this.open(lane.model, lane.onLost);
      this.#leave(lane);
    } catch (thrown) {
      lane.onLost(toError(thrown));
    }
  }

  /** Closes a channel that another one has replaced, once it has settled all that it was given. */
  #leave(lane: Lane): void {
    if (lane === this.#lane || lane.inFlight > 0 || lane.isLost) return;
    // It rejects when the channel is closed already.
    lane.channel.close().catch(() => undefined);
  }

  #lose(lane: Lane, reason: Error | undefined): void {
    lane.isLost = true;
    if (this.#lane !== lane) return;
    this.#lane = undefined;
    this.#isFull = false;
    this.#lossReason = reason === undefined ? 'it is not connected' : `it is not connected: ${reason.message}`;
    this.#returned.clear();
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const pending of waiting) this.#reject(pending, unavailable(this.#lossReason));
    if (this.unconfirmed === 0) this.#onIdle();
    lane.onLost(reason ?? new Error('The publishing channel was closed'));
  }

  #drain(lane: Lane): void {
    if (this.#lane !== lane) return;
    this.#isFull = false;
    const waiting = this.#waiting;
    let sent = 0;
    while (sent < waiting.length && !this.#isFull) {
      const pending = waiting[sent];
      sent += 1;
      if (pending !== undefined) this.#send(pending);
    }
    this.#waiting = waiting.slice(sent);
  }

  /** The broker gives a message back before it confirms it. */
  #noteReturn(message: ReturnedMessage): void {
    const id: unknown = message.properties.messageId;
    if (typeof id === 'string') this.#returned.set(id, (this.#returned.get(id) ?? 0) + 1);
  }

  #takeReturn(id: string): boolean {
    if (this.#returned.size === 0) return false;
    const count = this.#returned.get(id) ?? 0;
    if (count === 0) return false;
    if (count === 1) this.#returned.delete(id);
    else this.#returned.set(id, count - 1);
    return true;
  }

  /**
   * RabbitMQ closes the channel over a body above its `max_message_size`. Without remembering the limit that one
   * message, tried again and again, would stop all others.
   */
  #learnLimit(error: Error): void {
    const limit = /larger than configured max size (\d+)/.exec(error.message)?.[1];
    if (limit !== undefined) this.#maxBodyBytes = Number(limit);
  }

  #tooLarge(message: Message): Error {
    return invalidMessage(
      message.id,
      `its body has ${message.body.length} bytes and RabbitMQ takes ${this.#maxBodyBytes} (max_message_size)`,
    );
  }
}
