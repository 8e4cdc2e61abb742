/**
 * The bus over RabbitMQ: one connection for publishing, one for consuming, so that a broker that blocks publishers does
 * not stop consumers.
 */
import type { ChannelModel } from 'amqplib';
import type { Clock } from '../../foundation/clock.ts';
import type { Message } from '../../messages/message.ts';
import type { Health, HealthCheck } from '../../runtime/admin/health.ts';
import type { Logger } from '../../runtime/telemetry/logger.ts';
import { noTls, type TlsOptions } from '../../runtime/tls/tls-settings.ts';
import type { Bus, Handler, PublishOptions, PublishResult, Subscription, SubscriptionOptions } from '../bus.ts';
import { parseAmqpAddress } from './amqp-address.ts';
import { unlessAborted } from './waits.ts';
import { AmqpConnection } from './amqp-connection.ts';
import { unavailable } from './amqp-errors.ts';
import { AmqpSubscription } from './amqp-subscription.ts';
import { AmqpPublisher } from './amqp-publisher.ts';
import { Topology, deadLetterExchange } from './topology.ts';

export interface AmqpBusOptions {
  /** One per node of the cluster. */
  readonly urls: readonly string[];
  readonly exchange: string;
  /** Shown in RabbitMQ's list of connections. */
  readonly connectionName: string;
  readonly log: Logger;
  readonly clock: Clock;
  /** Certificates for `amqps://`. Default: the authorities that Node.js knows, no certificate of our own. */
  readonly tls?: TlsOptions | undefined;
  /** Bounds the work queues that are made. */
  readonly queueMaxBytes?: number | undefined;
}

export interface AmqpBus extends Bus {
  /** Published and not yet confirmed. */
  readonly unconfirmed: number;
}

/** Throws a HydrantError (`amqp-address-invalid`) for an address that can never work. */
export function createAmqpBus(options: AmqpBusOptions): AmqpBus {
  return new RabbitMqBus(options);
}

class RabbitMqBus implements AmqpBus {
  readonly name = 'rabbitmq';
  readonly healthChecks: readonly HealthCheck[];
  readonly #options: AmqpBusOptions;
  readonly #topology: Topology;
  readonly #publisher: AmqpPublisher;
  readonly #publishing: AmqpConnection;
  readonly #consuming: AmqpConnection;
  readonly #subscriptions = new Set<AmqpSubscription>();
  #isClosing = false;
  #isStopped = false;

  constructor(options: AmqpBusOptions) {
    const { exchange, queueMaxBytes, log, clock, connectionName } = options;
    this.#options = options;
    this.#publisher = new AmqpPublisher(clock);
    this.#topology = new Topology({ exchange, queueMaxBytes, log });
    const shared = {
      addresses: options.urls.map((url) => parseAmqpAddress(url)),
      tls: options.tls ?? noTls('AMQP'),
      log,
      clock,
    };
    this.#publishing = new AmqpConnection({
      ...shared,
      name: 'rabbitmq-publish',
      connectionName: `${connectionName} publish`,
      onConnect: (model) => this.#openPublisher(model),
    });
    this.#consuming = new AmqpConnection({
      ...shared,
      name: 'rabbitmq-consume',
      connectionName: `${connectionName} consume`,
      onConnect: () => Promise.resolve(),
    });
    this.healthChecks = [
      { name: 'rabbitmq-publish', check: () => this.#checkPublishing() },
      {
        name: 'rabbitmq-consume',
        check: () =>
          this.#subscriptions.size === 0 ? { status: 'pass', detail: 'No subscription' } : this.#consuming.health(),
      },
    ];
  }

  #checkPublishing(): Health {
    const health = this.#publishing.health();
    const { trouble } = this.#publisher;
    return health.status === 'fail' || trouble === undefined ? health : { status: 'fail', detail: trouble };
  }

  get unconfirmed(): number {
    return this.#publisher.unconfirmed;
  }

  start(): Promise<void> {
    if (!this.#isStopped) this.#publishing.start();
    return Promise.resolve();
  }

  async stop(deadline: AbortSignal): Promise<void> {
    // Subscriptions first: their last dead letters still need the publisher.
    this.#isClosing = true;
    const closed = Promise.all([...this.#subscriptions].map((subscription) => subscription.close(deadline)));
    await unlessAborted(closed, deadline);
    this.#isStopped = true;
    await this.#publisher.whenIdle(deadline);
    await Promise.all([this.#publishing.stop(deadline), this.#consuming.stop(deadline)]);
    await closed;
  }

  publish(message: Message, options?: PublishOptions): Promise<PublishResult> {
    if (this.#isStopped) return Promise.reject(unavailable('the bus was stopped'));
    return this.#publisher.publish(this.#options.exchange, message, options?.mandatory === true);
  }

  async subscribe(options: SubscriptionOptions, handler: Handler, signal: AbortSignal): Promise<Subscription> {
    if (this.#isClosing) throw unavailable('the bus was stopped');
    this.#consuming.start();
    const subscription = new AmqpSubscription(options, handler, {
      connection: this.#consuming,
      topology: this.#topology,
      log: this.#options.log,
      clock: this.#options.clock,
      publishDeadLetter: (message) => this.#publisher.publish(deadLetterExchange, message, true),
    });
    this.#subscriptions.add(subscription);
    void subscription.ended.then(() => {
      this.#subscriptions.delete(subscription);
    });
    await unlessAborted(subscription.ready, signal);
    if (!signal.aborted) return subscription;
    await subscription.close(signal);
    throw unavailable(`no consumer stood on "${options.name}" before the wait for it was given up`);
  }

  async hasQueue(name: string): Promise<boolean> {
    const { model } = this.#publishing;
    if (model === undefined) throw unavailable('it is not connected');
    return this.#topology.hasQueue(model, name);
  }

  async #openPublisher(model: ChannelModel): Promise<void> {
    await this.#topology.declareExchange(model);
    // A publisher without its channel is of no use: one way back for both, a new connection.
    await this.#publisher.open(model, (reason) => {
      this.#publishing.end(model, reason);
    });
  }
}
