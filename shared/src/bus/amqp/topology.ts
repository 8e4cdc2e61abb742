/**
 * Exchanges, queues and bindings. What exists is used as it is: it may have been made by others, with limits of their
 * own. Only what is missing is made. RabbitMQ answers what it refuses by closing the channel, so each request has a
 * channel of its own that may be lost.
 */
import type { Channel, ChannelModel } from 'amqplib';
import { describeError, HydrantError } from '../../foundation/errors.ts';
import type { Logger } from '../../runtime/telemetry/logger.ts';
import { closeChannel } from './waits.ts';
import { replyCode } from './amqp-errors.ts';

export const deadLetterExchange = 'nomad.dead-letter';

export function deadLetterQueueName(queue: string): string {
  return `${queue}.dead-letter`;
}

// RabbitMQ 4 sets 20 by default and counts every return of a message; ours are returned at each restart of a worker,
// dead letters whenever they are listed.
const deliveryLimit = 1_000_000;

const accessRefused = 403;
const notFound = 404;
const preconditionFailed = 406;

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

type Request = (channel: Channel) => Promise<unknown>;

/** `unknown`: this user may not ask (RabbitMQ 4.2.6 and later answer only whoever has some permission on it). */
type Presence = 'there' | 'missing' | 'unknown';

export class Topology {
  readonly #options: TopologyOptions;
  readonly #saidOf = new Set<string>();

  constructor(options: TopologyOptions) {
    this.#options = options;
  }

  /** All that a publisher needs. */
  async declareExchange(model: ChannelModel): Promise<void> {
    await ensureExchange(model, this.#options.exchange, 'topic');
  }

  /** The dead-letter queue first: from the moment the work queue exists there is a place for what fails. */
  async declareQueue(model: ChannelModel, queue: QueueOptions): Promise<void> {
    await this.declareExchange(model);
    await ensureExchange(model, deadLetterExchange, 'direct');
    const deadLetters = deadLetterQueueName(queue.name);
    await ensureQueue(model, deadLetters, { 'x-queue-type': 'quorum', 'x-delivery-limit': deliveryLimit });
    await use(model, (channel) => channel.bindQueue(deadLetters, deadLetterExchange, queue.name));
    await ensureQueue(model, queue.name, this.#workQueueArguments(queue.name));
    await use(model, async (channel) => {
      for (const binding of queue.bindings) await channel.bindQueue(queue.name, this.#options.exchange, binding);
    });
  }

  /** Whether a queue of that name exists; true also when RabbitMQ does not tell this user, with one warning. */
  async hasQueue(model: ChannelModel, name: string): Promise<boolean> {
    const presence = await findPresence(model, (channel) => channel.checkQueue(name));
    if (presence === 'unknown' && !this.#saidOf.has(name)) {
      this.#saidOf.add(name);
      this.#options.log.warn(
        { queue: name },
        'RabbitMQ does not tell this user whether the queue exists, it counts as there; give the user the permission "write" on it',
      );
    }
    return presence !== 'missing';
  }

  #workQueueArguments(name: string): Record<string, string | number> {
    const { queueMaxBytes } = this.#options;
    const bound =
      queueMaxBytes === undefined ? {} : { 'x-max-length-bytes': queueMaxBytes, 'x-overflow': 'reject-publish' };
    return {
      'x-queue-type': 'quorum',
      'x-delivery-limit': deliveryLimit,
      'x-dead-letter-exchange': deadLetterExchange,
      'x-dead-letter-routing-key': name,
      ...bound,
    };
  }
}

function ensureExchange(model: ChannelModel, name: string, type: 'topic' | 'direct'): Promise<void> {
  return ensure(
    model,
    `exchange "${name}"`,
    (channel) => channel.checkExchange(name),
    (channel) => channel.assertExchange(name, type, { durable: true }),
  );
}

function ensureQueue(model: ChannelModel, name: string, args: Record<string, string | number>): Promise<void> {
  return ensure(
    model,
    `queue "${name}"`,
    (channel) => channel.checkQueue(name),
    (channel) => channel.assertQueue(name, { durable: true, arguments: args }),
  );
}

/** Whom RabbitMQ does not answer must do without knowing: if it is missing, what is done with it fails and says so. */
async function ensure(model: ChannelModel, what: string, check: Request, declare: Request): Promise<void> {
  if ((await findPresence(model, check)) !== 'missing') return;
  try {
    await use(model, declare);
  } catch (thrown) {
    const code = replyCode(thrown);
    // Somebody else has made it meanwhile.
    if (code === preconditionFailed) return;
    if (code !== accessRefused) throw thrown;
    throw new HydrantError(
      `Expected the ${what} to exist, it does not, and this user may not make it; make it, or give the user the permission "configure" on it (${describeError(thrown)})`,
      {
        code: 'bus-unavailable',
        retryable: true,
        cause: thrown,
      },
    );
  }
}

/** Whether a queue of that name exists; true also when RabbitMQ does not tell this user. */
export async function queueExists(model: ChannelModel, name: string): Promise<boolean> {
  return (await findPresence(model, (channel) => channel.checkQueue(name))) !== 'missing';
}

async function findPresence(model: ChannelModel, check: Request): Promise<Presence> {
  try {
    await use(model, check);
    return 'there';
  } catch (thrown) {
    const code = replyCode(thrown);
    if (code === notFound) return 'missing';
    if (code === accessRefused) return 'unknown';
    throw thrown;
  }
}

async function use(model: ChannelModel, request: Request): Promise<void> {
  const channel = await model.createChannel();
  // The rejected call says the same.
  channel.on('error', () => undefined);
  try {
    await request(channel);
  } finally {
    await closeChannel(channel);
  }
}
