/**
 * One channel with at most one consumer on one queue. It ends when the broker or the connection ends it, or by `close`;
 * whatever is unsettled then goes back to the queue by itself, so settling after the end does nothing.
 */
import { setMaxListeners } from 'node:events';
import type { Channel, ChannelModel, ConsumeMessage } from 'amqplib';
import type { Clock } from '../../foundation/clock.ts';
import { toError } from '../../foundation/errors.ts';
import { AckWindow } from './ack-window.ts';
import { consumerCancelled, explainChannelEnd } from './explain-amqp.ts';
import { closeChannel } from './waits.ts';

export interface ConsumerChannelOptions {
  readonly queue: string;
  readonly prefetch: number;
  readonly clock: Pick<Clock, 'monotonic'>;
  readonly onMessage: (channel: ConsumerChannel, delivered: ConsumeMessage) => void;
}

const maxPrefetch = 65_535;

export class ConsumerChannel {
  /** Resolves with the reason when the channel has ended. */
  readonly ended: Promise<Error>;
  readonly #channel: Channel;
  readonly #options: ConsumerChannelOptions;
  readonly #window = new AckWindow();
  readonly #lost = new AbortController();
  readonly #waits = new AbortController();
  #reason: Error | undefined;
  #isConsuming = false;
  #shallConsume = false;
  #consumerTag = '';
  #isReconciling = false;
  #reconciled: Promise<void> = Promise.resolve();
  #isFlushAsked = false;

  private constructor(channel: Channel, options: ConsumerChannelOptions) {
    // One wait per message that is to be tried again.
    setMaxListeners(0, this.#waits.signal);
    this.#channel = channel;
    this.#options = options;
    this.ended = new Promise((resolve) => {
      channel.on('error', (error: Error) => {
        this.#reason = error;
      });
      channel.on('close', () => {
        this.#lost.abort();
        this.#waits.abort();
        const { oldestAtMs } = this.#window;
        resolve(
          explainChannelEnd(
            this.#reason ?? new Error('The channel was closed'),
            oldestAtMs === undefined ? undefined : options.clock.monotonic() - oldestAtMs,
          ),
        );
      });
    });
  }

  static async open(model: ChannelModel, options: ConsumerChannelOptions): Promise<ConsumerChannel> {
    const consumer = new ConsumerChannel(await model.createChannel(), options);
    await consumer.#channel.prefetch(Math.min(maxPrefetch, Math.max(1, options.prefetch)));
    return consumer;
  }

  /** Aborted when the channel has ended. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  /**
   * Aborted when waiting with an unsettled message has no more use: the channel has ended, or `endWaits` was called.
   */
  get waits(): AbortSignal {
    return this.#waits.signal;
  }

  endWaits(): void {
    this.#waits.abort();
  }

  /**
   * Starts or cancels the consumer; resolves when the broker has answered, or the channel has ended. The last call
   * wins.
   */
  setConsuming(shallConsume: boolean): Promise<void> {
    this.#shallConsume = shallConsume;
    if (!this.#isReconciling) this.#reconciled = this.#reconcile();
    return this.#reconciled;
  }

  /** Acknowledged soon, together with others. */
  settle(delivered: ConsumeMessage): void {
    if (this.lost.aborted) return;
    this.#window.settle(delivered.fields.deliveryTag);
    if (this.#isFlushAsked) return;
    this.#isFlushAsked = true;
    setImmediate(() => {
      this.#flush();
    });
  }

  /** Back to its place in the queue. */
  giveBack(delivered: ConsumeMessage): void {
    if (this.lost.aborted) return;
    this.#window.forget(delivered.fields.deliveryTag);
    this.#attempt(() => {
      this.#channel.nack(delivered, false, true);
    });
  }

  /**
   * Sends the acknowledgements that are due and closes; the broker takes back the rest. Resolves also when the
   * connection dies meanwhile.
   */
  async close(): Promise<void> {
    this.#shallConsume = false;
    this.#flush();
    if (!this.lost.aborted) await closeChannel(this.#channel);
  }

  async #reconcile(): Promise<void> {
    this.#isReconciling = true;
    try {
      while (!this.lost.aborted && this.#isConsuming !== this.#shallConsume) {
        if (this.#shallConsume) await this.#consume();
        else await this.#cancel();
      }
    } catch {
      // A refused request ends the channel, whose end is reported with the reason.
      await this.close();
    } finally {
      this.#isReconciling = false;
    }
  }

  async #consume(): Promise<void> {
    const { consumerTag } = await this.#channel.consume(this.#options.queue, (delivered) => {
      this.#receive(delivered);
    });
    this.#consumerTag = consumerTag;
    this.#isConsuming = true;
  }

  async #cancel(): Promise<void> {
    await this.#channel.cancel(this.#consumerTag);
    this.#isConsuming = false;
  }

  #receive(delivered: ConsumeMessage | null): void {
    if (delivered === null) {
      // A new channel declares the queue and consumes it again.
      this.#reason ??= new Error(consumerCancelled);
      void closeChannel(this.#channel);
      return;
    }
    this.#window.deliver(delivered.fields.deliveryTag, this.#options.clock.monotonic());
    this.#options.onMessage(this, delivered);
  }

  #flush(): void {
    this.#isFlushAsked = false;
    if (this.lost.aborted) return;
    const { upTo, single } = this.#window.take();
    this.#attempt(() => {
      if (upTo !== undefined) this.#channel.ack(tagged(upTo), true);
      for (const tag of single) this.#channel.ack(tagged(tag), false);
    });
  }

  /** A channel that is closing throws; its messages go back to the queue, where they are safe. */
  #attempt(action: () => void): void {
    try {
      action();
    } catch (thrown) {
      if (toError(thrown).name !== 'IllegalOperationError') throw thrown;
    }
  }
}

/** amqplib reads nothing but the tag of what it is told to acknowledge. */
function tagged(deliveryTag: number): ConsumeMessage {
  return { fields: { deliveryTag } } as ConsumeMessage;
}
