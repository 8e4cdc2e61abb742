/**
 * Hands the messages of one queue to a handler, over reconnects, and does what the handler says.
 *
 * A message that arrives waits in the backlog until `prefetch` and `maxHeldBytes` leave room, is then held (handed out)
 * until it is settled, and counts as gone when its channel ends: the broker hands it out again. RabbitMQ counts
 * messages, not bytes, so above `maxHeldBytes` the consumer is cancelled until half of it is free; what still arrives
 * beyond twice that goes back to the queue at once.
 */
import type { ConsumeMessage } from 'amqplib';
import { createBackoff } from '../../foundation/backoff.ts';
import type { Backoff } from '../../foundation/backoff.ts';
import type { Clock } from '../../foundation/clock.ts';
import { describeError } from '../../foundation/errors.ts';
import type { Message } from '../../messages/message.ts';
import type { Logger } from '../../runtime/telemetry/logger.ts';
import type { Handler, PublishResult, Settlement, Subscription, SubscriptionOptions } from '../bus.ts';
import { makeDeadLetter } from '../dead-letters.ts';
import type { AmqpConnection } from './amqp-connection.ts';
import { unlessAborted } from './waits.ts';
import { ConsumerChannel } from './consumer-channel.ts';
import { readDelivered } from './message-codec.ts';
import type { Topology } from './topology.ts';

export interface AmqpSubscriptionPorts {
  readonly connection: AmqpConnection;
  readonly topology: Topology;
  readonly publishDeadLetter: (message: Message) => Promise<PublishResult>;
  readonly log: Logger;
  readonly clock: Clock;
}

interface Arrival {
  readonly channel: ConsumerChannel;
  readonly delivered: ConsumeMessage;
  readonly message: Message;
}

const reopenBackoffMs = { minMs: 100, maxMs: 5_000 };
const retryBackoffMs = { minMs: 200, maxMs: 30_000 };
const goodChannelMs = 5_000;

export class AmqpSubscription implements Subscription {
  /** Resolves when the first consumer stands. */
  readonly ready: Promise<void>;
  /** Resolves when nothing of it runs any more. */
  readonly ended: Promise<void>;
  readonly #options: SubscriptionOptions;
  readonly #handler: Handler;
  readonly #ports: AmqpSubscriptionPorts;
  readonly #log: Logger;
  readonly #ending = new AbortController();
  #onReady: () => void = () => undefined;
  #onIdle: () => void = () => undefined;
  #channel: ConsumerChannel | undefined;
  #backlog: Arrival[] = [];
  #backlogBytes = 0;
  #held = 0;
  #heldBytes = 0;
  #isPaused = false;
  #isReleasing = false;
  #isFull = false;
  #isClosing = false;
  #closed: Promise<void> | undefined;

  constructor(options: SubscriptionOptions, handler: Handler, ports: AmqpSubscriptionPorts) {
    this.#options = options;
    this.#handler = handler;
    this.#ports = ports;
    this.#log = ports.log.child({ queue: options.name });
    this.ready = new Promise((resolve) => {
      this.#onReady = resolve;
    });
    this.ended = this.#run(this.#ending.signal);
  }

  get held(): number {
    return this.#held;
  }

  async pause(): Promise<void> {
    this.#isPaused = true;
    await this.#reconcile();
    this.#returnBacklog();
  }

  async release(signal: AbortSignal): Promise<void> {
    this.#isPaused = true;
    this.#isReleasing = true;
    try {
      await this.#reconcile();
      this.#channel?.endWaits();
      await this.#whenIdle(signal);
      // The end of the channel gives everything back at once and in order, which many refusals would not; the next one
      // stands without a consumer.
      await this.#channel?.close();
      this.#forgetBacklog();
    } finally {
      this.#isReleasing = false;
    }
  }

  async resume(): Promise<void> {
    if (this.#isClosing) return;
    this.#isPaused = false;
    await this.#reconcile();
  }

  close(signal: AbortSignal): Promise<void> {
    this.#closed ??= this.#close(signal);
    return this.#closed;
  }

  async #close(signal: AbortSignal): Promise<void> {
    this.#isClosing = true;
    const paused = this.pause();
    // Messages that wait to be tried again go back to the queue.
    this.#channel?.endWaits();
    await unlessAborted(paused, signal);
    await this.#whenIdle(signal);
    this.#ending.abort();
    await this.#channel?.close();
    await this.ended;
  }

  /** One channel after the other until the end. */
  async #run(ending: AbortSignal): Promise<void> {
    const backoff = createBackoff(reopenBackoffMs);
    while (!ending.aborted) {
      try {
        const stoodMs = await this.#holdChannel(ending);
        if (stoodMs >= goodChannelMs) backoff.reset();
      } catch (thrown) {
        if (!ending.aborted && !this.#isPaused)
          this.#log.warn({ reason: describeError(thrown) }, 'Could not consume from the queue, will try again');
      }
      await this.#ports.clock.sleep(backoff.next(), ending);
    }
  }

  /** Declares, consumes, and resolves when the channel has ended, with how long it stood. */
  async #holdChannel(ending: AbortSignal): Promise<number> {
    const { connection, topology, clock } = this.#ports;
    const model = await connection.whenUp(ending);
    if (model === undefined) return 0;
    await topology.declareQueue(model, this.#options);
    const channel = await ConsumerChannel.open(model, {
      queue: this.#options.name,
      prefetch: this.#options.prefetch,
      clock,
      onMessage: (source, delivered) => {
        this.#receive(source, delivered);
      },
    });
    const openedAtMs = clock.monotonic();
    this.#channel = channel;
    if (ending.aborted) await channel.close();
    await this.#reconcile();
    if (!channel.lost.aborted) this.#onReady();
    const reason = await channel.ended;
    this.#forgetBacklog();
    this.#channel = undefined;
    if (!ending.aborted && !this.#isPaused)
      this.#log.warn(
        { reason: describeError(reason) },
        'Lost the channel to the queue, its messages are handed out again',
      );
    return clock.monotonic() - openedAtMs;
  }

  #receive(channel: ConsumerChannel, delivered: ConsumeMessage): void {
    if (this.#totalBytes() > 2 * this.#options.maxHeldBytes) {
      channel.giveBack(delivered);
      return;
    }
    this.#backlog.push({ channel, delivered, message: readDelivered(delivered) });
    this.#backlogBytes += delivered.content.length;
    this.#handOut();
    this.#checkBytes();
  }

  #handOut(): void {
    while (!this.#isPaused && this.#held < this.#options.prefetch) {
      const next = this.#backlog[0];
      if (next === undefined) return;
      const bytes = next.message.body.length;
      if (this.#held > 0 && this.#heldBytes + bytes > this.#options.maxHeldBytes) return;
      this.#backlog.shift();
      this.#backlogBytes -= bytes;
      this.#held += 1;
      this.#heldBytes += bytes;
      void this.#hold(next);
    }
  }

  /** From handing out to the settlement, or to the end of the channel. Never rejects. */
  async #hold(arrival: Arrival): Promise<void> {
    try {
      await this.#settle(arrival);
    } catch (thrown) {
      // Not a handler's throw: one of ours. The broker hands the message out again when the channel ends.
      this.#log.error({ err: thrown }, 'Could not settle a message, its channel is closed');
      await arrival.channel.close();
    }
    this.#held -= 1;
    this.#heldBytes -= arrival.message.body.length;
    this.#handOut();
    this.#checkBytes();
    if (this.#held === 0) this.#onIdle();
  }

  async #settle({ channel, delivered, message }: Arrival): Promise<void> {
    let backoff: Backoff | undefined;
    for (let attempt = 1; ; attempt += 1) {
      const settlement = await this.#callHandler({ channel, delivered, message }, attempt);
      if (channel.lost.aborted) return;
      if (
        settlement?.action === 'ack' ||
        (settlement?.action === 'dead-letter' && (await this.#keepDeadLetter(channel, message, settlement, attempt)))
      ) {
        channel.settle(delivered);
        return;
      }
      backoff ??= createBackoff(retryBackoffMs);
      await this.#ports.clock.sleep(
        settlement?.action === 'retry' ? settlement.afterMs : backoff.next(),
        channel.waits,
      );
      // What is being released goes back with its channel.
      if (channel.lost.aborted || this.#isReleasing) return;
      if (this.#isClosing) {
        channel.giveBack(delivered);
        return;
      }
    }
  }

  /** Undefined when the handler threw. */
  async #callHandler({ channel, delivered, message }: Arrival, attempt: number): Promise<Settlement | undefined> {
    try {
      return await this.#handler({
        message,
        redelivered: delivered.fields.redelivered || attempt > 1,
        receivedAtMs: this.#ports.clock.monotonic(),
        lost: channel.lost,
      });
    } catch (thrown) {
      this.#log.warn({ err: thrown, messageId: message.id, attempt }, 'The handler of a message threw, will retry');
      return undefined;
    }
  }

  /**
   * True once the dead letter is confirmed and lies in a queue; false when the end of the channel or of the
   * subscription came before.
   */
  async #keepDeadLetter(
    channel: ConsumerChannel,
    message: Message,
    settlement: Settlement & { action: 'dead-letter' },
    attempt: number,
  ): Promise<boolean> {
    const { clock, publishDeadLetter } = this.#ports;
    const deadLetter = makeDeadLetter(message, {
      subscription: this.#options.name,
      consumer: this.#options.consumer,
      reason: settlement.reason,
      attempts: settlement.attempts ?? attempt,
      failedAtMs: clock.now(),
    });
    const backoff = createBackoff(retryBackoffMs);
    for (;;) {
      const problem = await publishDeadLetter(deadLetter).then(
        (result) => (result === 'routed' ? undefined : 'no dead-letter queue took it'),
        describeError,
      );
      if (problem === undefined) return true;
      this.#log.warn({ messageId: message.id, reason: problem }, 'Could not keep a dead letter, will retry');
      if (channel.waits.aborted) return false;
      await clock.sleep(backoff.next(), channel.waits);
    }
  }

  #totalBytes(): number {
    return this.#heldBytes + this.#backlogBytes;
  }

  #checkBytes(): void {
    const { maxHeldBytes } = this.#options;
    const total = this.#totalBytes();
    const isFull = this.#isFull ? total >= maxHeldBytes / 2 : total > maxHeldBytes;
    if (isFull === this.#isFull) return;
    this.#isFull = isFull;
    this.#log.debug({ heldBytes: total }, isFull ? 'Holds as many bytes as it may, pauses' : 'Goes on consuming');
    void this.#reconcile();
  }

  async #reconcile(): Promise<void> {
    await this.#channel?.setConsuming(!this.#isPaused && !this.#isFull);
    this.#handOut();
  }

  #returnBacklog(): void {
    for (const { channel, delivered } of this.#backlog) channel.giveBack(delivered);
    this.#forgetBacklog();
  }

  #forgetBacklog(): void {
    this.#backlog = [];
    this.#backlogBytes = 0;
    this.#checkBytes();
  }

  /** Also when it is waited for twice at once: by a release, and by a close that comes meanwhile. */
  async #whenIdle(signal: AbortSignal): Promise<void> {
    if (this.#held === 0 || signal.aborted) return;
    const before = this.#onIdle;
    const idle = new Promise<void>((resolve) => {
      this.#onIdle = () => {
        before();
        resolve();
      };
    });
    await unlessAborted(idle, signal);
  }
}
