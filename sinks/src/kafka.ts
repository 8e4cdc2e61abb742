/**
 * Produces messages to a topic of Kafka, acknowledged by all replicas that are in sync. The client is loaded when the
 * sink is used, not before; its own repeats are off.
 */
import { readFile } from 'node:fs/promises';
import { connect as connectTcp, isIP } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { ISocketFactory, Kafka, Message as KafkaMessage, Producer } from 'kafkajs';
import { isBrokenOff } from '@hydrant/shared/delivery/judge-failure';
import {
  broken,
  permanent,
  retryable,
  type Batch,
  type Sink,
  type SinkContext,
  type SinkDefinition,
} from '@hydrant/shared/delivery/sink';
import { describeError, isRetryable } from '@hydrant/shared/foundation/errors';
import { parseAddress } from '@hydrant/shared/foundation/host-port';
import { bool, list, path, text } from '@hydrant/shared/runtime/config/formats';
import type { Schema, Values } from '@hydrant/shared/runtime/config/setting';
import { encodeOrRefuse } from './encoding/encode-or-refuse.ts';
import { fillTemplate } from './encoding/fill-template.ts';
import { unlessAborted } from './waiting/unless-aborted.ts';

const settings = {
  SINK_KAFKA_BROKERS: {
    doc: 'Brokers to begin with, `host:port`, separated by commas.',
    format: list,
    default: null,
    required: true,
    example: 'kafka-1:9092,kafka-2:9092',
  },
  SINK_KAFKA_TOPIC: { doc: 'Topic.', format: text, default: null, required: true, example: 'nomad-events' },
  SINK_KAFKA_KEY: {
    doc: 'Key of a message, in which `{namespace}` and `{job}` may stand: messages of one key keep their order. None: no key, messages are spread over the partitions.',
    format: text,
    default: null,
    example: '{namespace}.{job}',
  },
  SINK_KAFKA_TLS: {
    doc: 'Whether brokers are reached by TLS; `SINK_KAFKA_CA_CERT_PATH` says so too.',
    format: bool,
    default: false,
  },
  SINK_KAFKA_CA_CERT_PATH: {
    doc: "PEM file of the authority that signed the brokers' certificates; none: those that Node.js knows.",
    format: path,
    default: null,
  },
  SINK_KAFKA_USER: { doc: 'User for SASL/PLAIN.', format: text, default: null },
  SINK_KAFKA_PASSWORD: { doc: 'Password for SASL/PLAIN.', format: text, default: null, sensitive: true },
} as const satisfies Schema;

type KafkaValues = Values<typeof settings>;

const connectTimeoutMs = 5000;
/** As the client has it. */
const keepAliveMs = 60_000;
/** Longer than any `SINK_TIMEOUT` has reason to be: that one ends a write. */
const requestTimeoutMs = 60_000;
/** What a record adds beside key and value: its header and ours. */
const recordOverhead = 200;

/**
 * Of the batch itself: the same records will be refused again. What is not listed (no leader, no topic, no rights, …)
 * is mended at Kafka and waits.
 */
const refusals = new Set(['MESSAGE_TOO_LARGE', 'RECORD_LIST_TOO_LARGE', 'INVALID_RECORD', 'CORRUPT_MESSAGE']);
const hints: Readonly<Record<string, string>> = {
  UNKNOWN_TOPIC_OR_PARTITION: 'make the topic or set SINK_KAFKA_TOPIC',
  TOPIC_AUTHORIZATION_FAILED: 'the user needs the right to write to the topic',
  SASL_AUTHENTICATION_FAILED: 'set SINK_KAFKA_USER and SINK_KAFKA_PASSWORD',
  INVALID_TIMESTAMP:
    'the clock of this machine and that of the broker differ by more than message.timestamp.after.max.ms',
  MESSAGE_TOO_LARGE: "above the topic's max.message.bytes",
};

/** What Kafka or its client said: the innermost error that has a Kafka name or is the last. */
export function judgeFailure(error: unknown, topic: string): Error {
  let type: string | undefined;
  let said = '';
  for (let current = error, depth = 0; current instanceof Error && depth < 5; depth += 1) {
    if ('type' in current && typeof current.type === 'string') type = current.type;
    // n.b. of a password that is wrong the client keeps the text alone.
    else if (current.name === 'KafkaJSSASLAuthenticationError') type = 'SASL_AUTHENTICATION_FAILED';
    said = current.message;
    current = current.cause;
  }
  const hint = type === undefined ? undefined : hints[type];
  const text = `Expected the Kafka topic ${topic} to take messages, got ${type === undefined ? '' : `${type}: `}${said === '' ? describeError(error) : said}${hint === undefined ? '' : ` (${hint})`}`;
  if (type !== undefined && refusals.has(type)) return permanent(text);
  // n.b. a broker closes the connection over a request above its socket.request.max.bytes.
  return isBrokenOff(error) ? broken(text) : retryable(text);
}

export function makeRecords(batch: Batch, key: string | null): KafkaMessage[] {
  return batch.map((message) => ({
    key: key === null ? null : fillTemplate(key, message),
    value: message.body,
    headers: { id: message.id, type: message.type },
  }));
}

class KafkaSink implements Sink {
  readonly #values: KafkaValues;
  readonly #context: SinkContext;
  #kafka: Kafka | undefined;
  #producer: Promise<Producer> | undefined;

  constructor(values: KafkaValues, context: SinkContext) {
    this.#values = values;
    this.#context = context;
  }

  async connect(signal: AbortSignal): Promise<void> {
    const kafkajs = await import('kafkajs').catch((error: unknown) => {
      throw permanent(
        'Expected the package kafkajs to be installed for SINK_TYPE=kafka; install it beside Hydrant',
        error,
      );
    });
    const { SINK_KAFKA_BROKERS: brokers, SINK_KAFKA_USER: username, SINK_KAFKA_PASSWORD: password } = this.#values;
    const ssl = await this.#readTls();
    this.#kafka ??= new kafkajs.Kafka({
      clientId: `hydrant-sink-${this.#context.name}`,
      brokers: brokers.map(nameBroker),
      socketFactory: makeSocketFactory(brokers),
      connectionTimeout: connectTimeoutMs,
      requestTimeout: requestTimeoutMs,
      // One try each: retries, their pauses and their metrics belong to the delivery.
      retry: { retries: 0 },
      // Each failed write says it too.
      logLevel: kafkajs.logLevel.NOTHING,
      ...(ssl === undefined ? {} : { ssl }),
      ...(username === null ? {} : { sasl: { mechanism: 'plain' as const, username, password: password ?? '' } }),
    });
    await this.#try((producer) => producer, signal);
  }

  write(batch: Batch, signal: AbortSignal): Promise<void> {
    const { SINK_KAFKA_TOPIC: topic, SINK_KAFKA_KEY: key } = this.#values;
    const messages = encodeOrRefuse(() => makeRecords(batch, key));
    return this.#try((producer) => producer.send({ topic, acks: -1, messages }), signal);
  }

  async healthcheck(signal: AbortSignal): Promise<void> {
    const admin = this.#open().admin();
    try {
      await unlessAborted(
        admin.connect().then(() => admin.fetchTopicMetadata({ topics: [this.#values.SINK_KAFKA_TOPIC] })),
        signal,
        'Expected Kafka to answer in time, it did not',
      );
    } catch (error) {
      throw signal.aborted ? error : judgeFailure(error, this.#values.SINK_KAFKA_TOPIC);
    } finally {
      await admin.disconnect();
    }
  }

  close(): Promise<void> {
    this.#kafka = undefined;
    return this.#drop(this.#producer);
  }

  async #try(action: (producer: Producer) => unknown, signal: AbortSignal): Promise<void> {
    const { SINK_KAFKA_TOPIC: topic } = this.#values;
    const producer = this.#connected();
    try {
      await unlessAborted(
        producer.then(action),
        signal,
        `Expected the Kafka topic ${topic} to take messages in time, it did not`,
      );
    } catch (error) {
      const failure = signal.aborted ? error : judgeFailure(error, topic);
      // The next try connects anew: brokers may have moved, and what waits on this connection must not be sent later,
      // beside it.
      if (isRetryable(failure)) void this.#drop(producer);
      throw failure;
    }
  }

  #connected(): Promise<Producer> {
    this.#producer ??= makeProducer(this.#open());
    return this.#producer;
  }

  /** Never rejects. */
  async #drop(dropped: Promise<Producer> | undefined): Promise<void> {
    if (this.#producer === dropped) this.#producer = undefined;
    await dropped?.then((producer) => producer.disconnect()).catch(() => undefined);
  }

  #open(): Kafka {
    if (this.#kafka === undefined) throw retryable('Expected the Kafka sink to be connected, it is not');
    return this.#kafka;
  }

  async #readTls(): Promise<true | { readonly ca: string[] } | undefined> {
    const { SINK_KAFKA_CA_CERT_PATH: caPath, SINK_KAFKA_TLS: isTls } = this.#values;
    if (caPath === null) return isTls ? true : undefined;
    try {
      return { ca: [await readFile(caPath, 'utf8')] };
    } catch (error) {
      throw retryable(
        `Expected to read the certificate in ${caPath} (SINK_KAFKA_CA_CERT_PATH), could not`,
        undefined,
        error,
      );
    }
  }
}

/** n.b. the client takes what stands before the first colon for the host, so an IPv6 address gets a name without. */
function nameBroker(broker: string): string {
  const { host = '', port = 0 } = parseAddress(broker) ?? {};
  return host.includes(':') ? `[${host.replaceAll(':', '-')}]:${String(port)}` : broker;
}

function makeSocketFactory(brokers: readonly string[]): ISocketFactory {
  const hosts = new Map(brokers.map((broker) => [nameBroker(broker).split(':', 1)[0], parseAddress(broker)?.host]));
  return ({ host: named, port, ssl, onConnect }) => {
    const host = hosts.get(named) ?? named;
    const socket =
      ssl === undefined || (ssl as unknown) === null
        ? connectTcp({ host, port }, onConnect)
        : connectTls({ host, port, ...(isIP(host) === 0 ? { servername: host } : {}), ...ssl }, onConnect);
    return socket.setKeepAlive(true, keepAliveMs);
  };
}

async function makeProducer(kafka: Kafka): Promise<Producer> {
  const producer = kafka.producer({ allowAutoTopicCreation: false });
  try {
    await producer.connect();
  } catch (error) {
    producer.disconnect().catch(() => undefined);
    throw error;
  }
  return producer;
}

function check({
  SINK_KAFKA_BROKERS: brokers,
  SINK_KAFKA_USER: user,
  SINK_KAFKA_PASSWORD: password,
}: KafkaValues): readonly string[] {
  const problems = brokers
    .filter((broker) => parseAddress(broker) === undefined)
    .map((broker) => `Expected \`SINK_KAFKA_BROKERS\` to hold brokers as \`host:port\`, got "${broker}"`);
  if (brokers.length === 0) problems.push('Expected `SINK_KAFKA_BROKERS` to name at least one broker, got none');
  if ((user === null) !== (password === null))
    problems.push('Expected `SINK_KAFKA_USER` and `SINK_KAFKA_PASSWORD` to be set together, got one of them');
  return problems;
}

export const kafkaSink: SinkDefinition<typeof settings> = {
  type: 'kafka',
  settings,
  // Below the 1 MB that a broker takes in one set of records: all of a batch may go to one partition.
  defaults: { batchEvents: 500, batchBytes: 900_000, batchAgeMs: 200 },
  encodedBytes: (message) => message.body.length + message.id.length + message.type.length + recordOverhead,
  check,
  create: (values, context) => new KafkaSink(values, context),
};
