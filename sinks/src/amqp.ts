/**
 * Publishes messages to an exchange of RabbitMQ, persistent and confirmed, each with the id, headers and bytes that it
 * came with. Connecting, reconnecting and confirms are the bus's; it is loaded when the sink is used, not before.
 */
import { amqpAddressProblems } from '@hydrant/shared/bus/amqp/amqp-address';
import type { Bus } from '@hydrant/shared/bus/bus';
import { compileBindings } from '@hydrant/shared/bus/topic-pattern';
import { createUnroutedLog, type UnroutedLog } from '@hydrant/shared/bus/unrouted-log';
import { retryable, type Batch, type Sink, type SinkContext, type SinkDefinition } from '@hydrant/shared/delivery/sink';
import { systemClock } from '@hydrant/shared/foundation/clock';
import { describeError, isRetryable } from '@hydrant/shared/foundation/errors';
import type { Message } from '@hydrant/shared/messages/message';
import { amqpSettings, consumerSettings } from '@hydrant/shared/runtime/config/common-settings';
import { text, urls } from '@hydrant/shared/runtime/config/formats';
import type { Schema, Values } from '@hydrant/shared/runtime/config/setting';
import { tlsProblems } from '@hydrant/shared/runtime/tls/read-tls';
import { readTlsOptions, tlsSettings } from '@hydrant/shared/runtime/tls/tls-settings';
import { fillTemplate } from './encoding/fill-template.ts';
import { publishEach } from './waiting/publish-each.ts';

const settings = {
  SINK_AMQP_CONNECTION: {
    doc: 'RabbitMQ to publish to, as one URL or several; none: that of `AMQP_CONNECTION`.',
    format: urls(['amqp:', 'amqps:']),
    default: null,
    sensitive: true,
  },
  SINK_AMQP_EXCHANGE: {
    doc: 'Exchange to publish to, a topic exchange that is made when it does not exist; none: that of `AMQP_EXCHANGE`.',
    format: text,
    default: null,
  },
  SINK_AMQP_ROUTING_KEY: {
    doc: 'Routing key; `{namespace}` and `{job}` may stand in it. None: the message keeps its own.',
    format: text,
    default: null,
    example: 'nomad.{namespace}.{job}',
  },
  ...tlsSettings('SINK_AMQP', 'the RabbitMQ of `SINK_AMQP_CONNECTION`'),
  AMQP_CONNECTION: amqpSettings.AMQP_CONNECTION,
  ...tlsSettings('AMQP', 'RabbitMQ (`amqps://`)'),
  AMQP_EXCHANGE: amqpSettings.AMQP_EXCHANGE,
  AMQP_BINDINGS: consumerSettings.AMQP_BINDINGS,
} as const satisfies Schema;

type AmqpValues = Values<typeof settings>;

const connectMs = 2000;
const pollMs = 20;
const closeMs = 1000;
class AmqpSink implements Sink {
  readonly #values: AmqpValues;
  readonly #context: SinkContext;
  #bus: Bus | undefined;
  readonly #unconfirmed = new Map<Message, Promise<void>>();
  readonly #unrouted: UnroutedLog;

  constructor(values: AmqpValues, context: SinkContext) {
    this.#values = values;
    this.#context = context;
    const { log, name } = context;
    this.#unrouted = createUnroutedLog(systemClock, (facts) => {
      log.warn({ sink: name, ...facts }, 'No queue is bound for what the AMQP sink publishes, nobody will see it');
    });
  }

  async connect(signal: AbortSignal): Promise<void> {
    const { createAmqpBus } = await import('@hydrant/shared/bus/amqp/amqp-bus');
    const { log, name } = this.#context;
    this.#bus ??= createAmqpBus({
      urls: this.#values.SINK_AMQP_CONNECTION ?? this.#values.AMQP_CONNECTION,
      tls: readTlsOptions(this.#values, this.#values.SINK_AMQP_CONNECTION === null ? 'AMQP' : 'SINK_AMQP'),
      exchange: this.#values.SINK_AMQP_EXCHANGE ?? this.#values.AMQP_EXCHANGE,
      connectionName: `hydrant sink ${name}`,
      log: log.child({ sink: name }),
      clock: systemClock,
    });
    await this.#bus.start(signal);
    // The bus connects in the background; with a broker that answers it takes some milliseconds.
    for (let waitedMs = 0; this.#problem() !== undefined && waitedMs < connectMs && !signal.aborted; waitedMs += pollMs)
      await systemClock.sleep(pollMs, signal);
    await this.healthcheck();
  }

  async write(batch: Batch, signal: AbortSignal): Promise<void> {
    const bus = this.#bus;
    if (bus === undefined) throw retryable('Expected the AMQP sink to be connected, it is not');
    await publishEach(batch, {
      publish: (message) =>
        this.#publishOnce(bus, message).then(
          () => undefined,
          (error: unknown) => ({ reason: describeError(error), retryable: isRetryable(error) }),
        ),
      // How many are on their way is the bus's to bound.
      mostInFlight: batch.length,
      silence: 'Expected RabbitMQ to confirm in time, it did not',
      signal,
    });
  }

  healthcheck(): Promise<void> {
    const problem = this.#problem();
    return problem === undefined ? Promise.resolve() : Promise.reject(retryable(problem));
  }

  async close(): Promise<void> {
    const bus = this.#bus;
    this.#bus = undefined;
    const limit = new AbortController();
    const timer = systemClock.after(closeMs, () => {
      limit.abort();
    });
    await bus?.stop(limit.signal);
    timer.cancel();
  }

  #problem(): string | undefined {
    if (this.#bus === undefined) return 'Expected the AMQP sink to be connected, it is not';
    const failed = this.#bus.healthChecks.map((check) => check.check()).find((health) => health.status === 'fail');
    return failed === undefined ? undefined : (failed.detail ?? 'RabbitMQ is not connected');
  }

  /**
   * A message whose confirm is still awaited from an earlier try is not published again: the broker may block for
   * hours.
   */
  #publishOnce(bus: Bus, message: Message): Promise<void> {
    let publishing = this.#unconfirmed.get(message);
    if (publishing === undefined) {
      publishing = this.#publish(bus, message).finally(() => {
        this.#unconfirmed.delete(message);
      });
      this.#unconfirmed.set(message, publishing);
    }
    return publishing;
  }

  async #publish(bus: Bus, message: Message): Promise<void> {
    const template = this.#values.SINK_AMQP_ROUTING_KEY;
    const published = template === null ? message : { ...message, routingKey: fillTemplate(template, message) };
    const result = await bus.publish(published, { mandatory: true });
    if (result === 'unrouted') this.#unrouted.note(published.routingKey);
  }
}

/**
 * What is published back to where it came from, under a key that its queue is bound to, would come again, and again.
 */
function loopProblems(values: AmqpValues): readonly string[] {
  const isOwnBroker =
    values.SINK_AMQP_CONNECTION === null ||
    values.SINK_AMQP_CONNECTION.some((url) => values.AMQP_CONNECTION.includes(url));
  const isOwnExchange = values.SINK_AMQP_EXCHANGE === null || values.SINK_AMQP_EXCHANGE === values.AMQP_EXCHANGE;
  const key = values.SINK_AMQP_ROUTING_KEY?.replaceAll(/\{(?:namespace|job)\}/gu, '_');
  const comesBack = key === undefined || compileBindings(values.AMQP_BINDINGS ?? ['event.#'])(key);
  if (!isOwnBroker || !isOwnExchange || !comesBack) return [];
  return [
    'Expected `SINK_AMQP_EXCHANGE` or `SINK_AMQP_CONNECTION` to differ from where messages come from, or `SINK_AMQP_ROUTING_KEY` to match none of `AMQP_BINDINGS`: each message would come again for ever',
  ];
}

export const amqpSink: SinkDefinition<typeof settings> = {
  type: 'amqp',
  aliases: ['rabbitmq'],
  settings,
  defaults: { batchEvents: 500, batchBytes: 4 * 1024 * 1024, batchAgeMs: 100 },
  check: (values) => [
    ...tlsProblems(readTlsOptions(values, 'SINK_AMQP')),
    ...amqpAddressProblems(values, values.SINK_AMQP_CONNECTION === null ? 'AMQP' : 'SINK_AMQP'),
    ...loopProblems(values),
  ],
  create: (values, context) => new AmqpSink(values, context),
};
