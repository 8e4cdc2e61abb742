/**
 * Publishes on one confirm channel, many messages in flight. Each publish settles exactly once: by the broker's confirm, by its refusal, or by the loss
 * of the channel, whichever comes first. Nothing is kept for a later try: that is the caller's to decide.
 */
import type { ChannelModel, ConfirmChannel, Message as ReturnedMessage } from 'amqplib';
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
  readonly resolve: (result: PublishResult) => void;
  readonly reject: (error: Error) => void;
}

/** Frames in amqplib's buffer (two or three per message) before callers wait. */
const writeBufferFrames = 4096;

export class AmqpPublisher {
  #channel: ConfirmChannel | undefined;
  #batcher: WriteBatcher | undefined;
  /** Filled while the write buffer is full; sent in order when it has drained. */
  #waiting: Pending[] = [];
  #isFull = false;
  #inFlight = 0;
  #lossReason = 'there is no connection yet';
  /** The broker's own limit, learned when it closed the channel over a message; as long as the process lives. */
  #maxBodyBytes = Number.POSITIVE_INFINITY;
  /** Ids of mandatory messages that came back, until their confirm follows. */
  readonly #returned = new Map<string, number>();
  #onIdle: () => void = () => undefined;

  /** Published and not settled. */
  get unconfirmed(): number {
    return this.#inFlight + this.#waiting.length;
  }

  /** Takes a new connection into use. `onLost` is called when its channel ends while the connection may still stand. */
  async open(model: ChannelModel, onLost: (reason: Error) => void): Promise<void> {
    const channel = await model.createConfirmChannel({ highWaterMark: writeBufferFrames });
    let reason: Error | undefined;
    channel.on('error', (error: Error) => {
      reason = error;
      this.#learnLimit(error);
    });
    channel.on('drain', () => { this.#drain(channel); });
    channel.on('return', (message: ReturnedMessage) => { this.#noteReturn(message); });
    // Before amqplib's own listener, which fails all that is outstanding: then `#channel` tells a loss from a refusal.
    channel.prependListener('close', () => {
      this.#lose(channel, reason);
      onLost(reason ?? new Error('The publishing channel was closed'));
    });
    this.#batcher = new WriteBatcher(model);
    this.#channel = channel;
    this.#isFull = false;
  }

  publish(exchange: string, message: Message, mandatory: boolean): Promise<PublishResult> {
    if (this.#channel === undefined) return Promise.reject(unavailable(this.#lossReason));
    if (message.body.length > this.#maxBodyBytes) return Promise.reject(this.#tooLarge(message));
    return new Promise((resolve, reject) => {
      const pending: Pending = { exchange, message, mandatory, resolve, reject };
      if (this.#isFull) this.#waiting.push(pending);
      else this.#send(pending);
    });
  }

  /** Resolves when nothing is unconfirmed or `signal` aborts. One caller at a time. */
  async whenIdle(signal: AbortSignal): Promise<void> {
    while (this.unconfirmed > 0 && !signal.aborted) {
      await unlessAborted(new Promise<void>((resolve) => { this.#onIdle = resolve; }), signal);
    }
  }

  #send(pending: Pending): void {
    const channel = this.#channel;
    if (channel === undefined) {
      pending.reject(unavailable(this.#lossReason));
      return;
    }
    const { message } = pending;
    this.#batcher?.hold();
    this.#inFlight += 1;
    try {
      const hasRoom = channel.publish(pending.exchange, message.routingKey, message.body, toPublishOptions(message, pending.mandatory), (error: unknown) => {
        this.#settle(channel, pending, error);
      });
      if (!hasRoom) this.#isFull = true;
    } catch (thrown) {
      this.#inFlight -= 1;
      // A type or range error is about this message; anything else says that the channel is closing.
      const isInvalid = thrown instanceof TypeError || thrown instanceof RangeError;
      pending.reject(isInvalid ? invalidMessage(message.id, thrown.message, thrown) : unavailable('its channel is closing', thrown));
      if (this.unconfirmed === 0) this.#onIdle();
    }
  }

  #settle(channel: ConfirmChannel, pending: Pending, error: unknown): void {
    this.#inFlight -= 1;
    if (error === null || error === undefined) {
      pending.resolve(pending.mandatory && this.#takeReturn(pending.message.id) ? 'unrouted' : 'routed');
    } else if (this.#channel === channel) {
      pending.reject(refused(pending.message.routingKey));
    } else if (pending.message.body.length > this.#maxBodyBytes) {
      pending.reject(this.#tooLarge(pending.message));
    } else {
      pending.reject(unavailable(`the connection was lost before it confirmed (${this.#lossReason})`));
    }
    if (this.unconfirmed === 0) this.#onIdle();
  }

  #lose(channel: ConfirmChannel, reason: Error | undefined): void {
    if (this.#channel !== channel) return;
    this.#channel = undefined;
    this.#batcher = undefined;
    this.#lossReason = reason === undefined ? 'it is not connected' : `it is not connected: ${reason.message}`;
    this.#returned.clear();
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const pending of waiting) pending.reject(unavailable(this.#lossReason));
    if (this.unconfirmed === 0) this.#onIdle();
  }

  #drain(channel: ConfirmChannel): void {
    if (this.#channel !== channel) return;
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
   * RabbitMQ closes the channel over a body above its `max_message_size`. Without remembering the limit that one message, tried again and again,
   * would stop all others.
   */
  #learnLimit(error: Error): void {
    const limit = /larger than configured max size (\d+)/.exec(error.message)?.[1];
    if (limit !== undefined) this.#maxBodyBytes = Number(limit);
  }

  #tooLarge(message: Message): Error {
    return invalidMessage(message.id, `its body has ${message.body.length} bytes and RabbitMQ takes ${this.#maxBodyBytes} (max_message_size)`);
  }
}
