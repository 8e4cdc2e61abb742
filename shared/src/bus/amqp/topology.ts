/**
 * Exchanges, queues and bindings. What is missing is made; what exists with other arguments is used as it is, with one warning. RabbitMQ answers a
 * mismatch by closing the channel, so each declaration has a channel of its own that may be lost.
 */
import type { Channel, ChannelModel } from 'amqplib';
import { describeError } from '../../foundation/errors.ts';
import type { Logger } from '../../runtime/telemetry/logger.ts';
import { closeChannel } from './waits.ts';
import { replyCode } from './amqp-errors.ts';

export const deadLetterExchange = 'nomad.dead-letter';

export function deadLetterQueueName(queue: string): string {
  return `${queue}.dead-letter`;
}

// RabbitMQ 4 sets 20 by default and counts every return of a message; ours are returned at each restart of a worker, dead letters whenever they are listed.
const deliveryLimit = 1_000_000;

const preconditionFailed = 406;
const accessRefused = 403;
const notFound = 404;

export interface TopologyOptions {
  readonly exchange: string;
  /** Bounds each work queue; publishers are refused beyond it. */
  readonly queueMaxBytes?: number | undefined;
  readonly log: Logger;
}

export interface QueueOptions {
  readonly name: string;
  readonly bindings: readonly string[];
}

type Declaration = (channel: Channel) => Promise<unknown>;

export class Topology {
  readonly #options: TopologyOptions;
  readonly #warned = new Set<string>();

  constructor(options: TopologyOptions) {
    this.#options = options;
  }

  async declareExchanges(model: ChannelModel): Promise<void> {
    const { exchange } = this.#options;
    await this.#declare(model, `exchange "${exchange}"`, (channel) => channel.assertExchange(exchange, 'topic', { durable: true }), (channel) => channel.checkExchange(exchange));
    await this.#declare(
      model, `exchange "${deadLetterExchange}"`,
      (channel) => channel.assertExchange(deadLetterExchange, 'direct', { durable: true }), (channel) => channel.checkExchange(deadLetterExchange),
    );
  }

  /** The dead-letter queue first: from the moment the work queue exists there is a place for what fails. */
  async declareQueue(model: ChannelModel, queue: QueueOptions): Promise<void> {
    await this.declareExchanges(model);
    const deadLetters = deadLetterQueueName(queue.name);
    await this.#declareQueue(model, deadLetters, { 'x-queue-type': 'quorum', 'x-delivery-limit': deliveryLimit });
    await use(model, (channel) => channel.bindQueue(deadLetters, deadLetterExchange, queue.name));
    await this.#declareQueue(model, queue.name, this.#workQueueArguments(queue.name));
    await use(model, async (channel) => {
      for (const binding of queue.bindings) await channel.bindQueue(queue.name, this.#options.exchange, binding);
    });
  }

  #workQueueArguments(name: string): Record<string, string | number> {
    const { queueMaxBytes } = this.#options;
    const bound = queueMaxBytes === undefined ? {} : { 'x-max-length-bytes': queueMaxBytes, 'x-overflow': 'reject-publish' };
    return {
      'x-queue-type': 'quorum', 'x-delivery-limit': deliveryLimit,
      'x-dead-letter-exchange': deadLetterExchange, 'x-dead-letter-routing-key': name, ...bound,
    };
  }

  async #declareQueue(model: ChannelModel, name: string, args: Record<string, string | number>): Promise<void> {
    await this.#declare(
      model, `queue "${name}"`,
      (channel) => channel.assertQueue(name, { durable: true, arguments: args }), (channel) => channel.checkQueue(name),
    );
  }

  async #declare(model: ChannelModel, what: string, declare: Declaration, check: Declaration): Promise<void> {
    try {
      await use(model, declare);
    } catch (thrown) {
      const code = replyCode(thrown);
      if (code !== preconditionFailed && code !== accessRefused) throw thrown;
      await use(model, check);
      // n.b. a user that may not make it is refused before the broker compares: somebody else has made it, and is answerable for how.
      if (code === preconditionFailed) this.#warnOnce(what, thrown);
    }
  }

  #warnOnce(what: string, thrown: unknown): void {
    if (this.#warned.has(what)) return;
    this.#warned.add(what);
    this.#options.log.warn({ what, reason: describeError(thrown) }, 'Exists with other settings than expected, is used as it is');
  }
}

/** Whether a queue of that name exists. */
export async function queueExists(model: ChannelModel, name: string): Promise<boolean> {
  try {
    await use(model, (channel) => channel.checkQueue(name));
    return true;
  } catch (thrown) {
    if (replyCode(thrown) === notFound) return false;
    throw thrown;
  }
}

async function use(model: ChannelModel, declaration: Declaration): Promise<void> {
  const channel = await model.createChannel();
  // The rejected call says the same.
  channel.on('error', () => undefined);
  try {
    await declaration(channel);
  } finally {
    await closeChannel(channel);
  }
}
