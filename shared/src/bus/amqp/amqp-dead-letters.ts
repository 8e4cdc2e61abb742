/** The dead letters of one queue of RabbitMQ. */
import type { Channel, ChannelModel, GetMessage } from 'amqplib';
import { systemClock } from '../../foundation/clock.ts';
import { HydrantError, toError } from '../../foundation/errors.ts';
import type { DeadLetterStore, DeadLetterVerdict, SweepResult } from '../dead-letter-store.ts';
import { makeReplayed, readDeadLetter } from '../dead-letters.ts';
import type { DeadLetter } from '../dead-letters.ts';
import { AmqpPublisher } from './amqp-publisher.ts';
import { withAmqpSession, whenLost } from './amqp-session.ts';
import type { AmqpSessionOptions } from './amqp-session.ts';
import { readDelivered } from './message-codec.ts';
import { deadLetterQueueName, queueExists } from './topology.ts';
import { closeChannel } from './waits.ts';

export interface AmqpDeadLettersOptions extends AmqpSessionOptions {
  /** The work queue. */
  readonly queue: string;
}

/** Replays on their way to the broker at once. */
const maxReplays = 200;
/**
 * The exchange that every queue is bound to by its own name: what is published there reaches one queue and no other.
 */
const defaultExchange = '';

export function createAmqpDeadLetters(options: AmqpDeadLettersOptions): DeadLetterStore {
  return {
    sweep: (decide, signal) =>
      withAmqpSession(options, signal, async (model) => {
        const name = deadLetterQueueName(options.queue);
        if (!(await queueExists(model, name))) {
          throw new HydrantError(`Expected RabbitMQ to have the queue "${name}", it has none of that name`, {
            code: 'queue-missing',
            retryable: false,
          });
        }
        return new Sweep(model, options.queue, decide).run(signal);
      }),
  };
}

class Sweep {
  readonly #model: ChannelModel;
  readonly #queue: string;
  readonly #decide: (letter: DeadLetter) => DeadLetterVerdict;
  readonly #publisher = new AmqpPublisher(systemClock);
  readonly #replays = new Set<Promise<void>>();
  /** Delivery tags of what was taken and is not acknowledged, oldest first. */
  readonly #open = new Set<number>();
  #failure: unknown;
  #replayed = 0;
  #dropped = 0;

  constructor(model: ChannelModel, queue: string, decide: (letter: DeadLetter) => DeadLetterVerdict) {
    this.#model = model;
    this.#queue = queue;
    this.#decide = decide;
  }

  /** What is neither replayed nor dropped stays unacknowledged to the end, so that it is not shown twice. */
  async run(signal: AbortSignal): Promise<SweepResult> {
    const channel = await this.#model.createChannel();
    const lost = whenLost(channel);
    try {
      await this.#publisher.open(this.#model, () => undefined);
      await Promise.race([this.#sweep(channel, signal), lost]);
      while (this.#replays.size > 0) await Promise.race([Promise.all(this.#replays), lost]);
    } finally {
      this.#returnKept(channel);
      await closeChannel(channel);
    }
    if (this.#failure !== undefined) throw toError(this.#failure);
    return { replayed: this.#replayed, dropped: this.#dropped };
  }

  async #sweep(channel: Channel, signal: AbortSignal): Promise<void> {
    const name = deadLetterQueueName(this.#queue);
    // What fails again comes back at the end: without this bound the sweep would go on for ever.
    const { messageCount } = await channel.checkQueue(name);
    for (let seen = 0; seen < messageCount && !signal.aborted && this.#failure === undefined; seen += 1) {
      const got = await channel.get(name);
      if (got === false) return;
      const letter = readDeadLetter(readDelivered(got));
      this.#open.add(got.fields.deliveryTag);
      const verdict = this.#decide(letter);
      if (verdict === 'drop') {
        this.#acknowledge(channel, got);
        this.#dropped += 1;
      } else if (verdict === 'replay') {
        const replay = this.#replay(channel, got, letter).finally(() => this.#replays.delete(replay));
        this.#replays.add(replay);
        while (this.#replays.size >= maxReplays) await Promise.race(this.#replays);
      }
    }
  }

  #acknowledge(channel: Channel, got: GetMessage): void {
    channel.ack(got);
    this.#open.delete(got.fields.deliveryTag);
  }

  /**
   * One by one, which keeps their order: to a quorum queue each of them has a consumer of its own, and it takes back
   * what those hold in any order. It puts them behind what was returned before; therefore a sweep goes through all that
   * is there, also when it wants only the first.
   */
  #returnKept(channel: Channel): void {
    try {
      for (const deliveryTag of this.#open) channel.nack({ fields: { deliveryTag } } as GetMessage, false, true);
    } catch {
      // A channel that has ended has given them back.
    }
  }

  /** Never rejects. */
  async #replay(channel: Channel, got: GetMessage, letter: DeadLetter): Promise<void> {
    try {
      const result = await this.#publisher.publish(defaultExchange, makeReplayed(letter, this.#queue), true);
      if (result === 'unrouted') {
        throw new HydrantError(
          `Expected RabbitMQ to have the queue "${this.#queue}" to replay to, it has none of that name; start its consumer once, which makes it`,
          { code: 'queue-missing', retryable: false },
        );
      }
      this.#acknowledge(channel, got);
      this.#replayed += 1;
    } catch (error) {
      this.#failure ??= error;
    }
  }
}
