/**
 * Publishes messages to subjects of NATS. A message counts as delivered when the JetStream stream that takes its
 * subject has acknowledged it; streams are not made. The client is loaded when the sink is used, not before; its own
 * repeats and reconnecting are off: the next write connects anew.
 */
import type * as JetStream from '@nats-io/jetstream';
import type * as Nats from '@nats-io/transport-node';
import {
  permanent,
  retryable,
  type Batch,
  type Sink,
  type SinkContext,
  type SinkDefinition,
} from '@hydrant/shared/delivery/sink';
import { systemClock } from '@hydrant/shared/foundation/clock';
import { describeError, errorCode } from '@hydrant/shared/foundation/errors';
import type { Message } from '@hydrant/shared/messages/message';
import { path, text, urls } from '@hydrant/shared/runtime/config/formats';
import type { Schema, Values } from '@hydrant/shared/runtime/config/setting';
import { explainTls } from '@hydrant/shared/runtime/tls/explain-tls';
import { tlsProblems } from '@hydrant/shared/runtime/tls/read-tls';
import { readTlsOptions, tlsSettings, type TlsOptions } from '@hydrant/shared/runtime/tls/tls-settings';
import { encodeOrRefuse } from './encoding/encode-or-refuse.ts';
import { fillTemplate } from './encoding/fill-template.ts';
import { makeAuthenticator, makeTls } from './nats/login.ts';
import { publishEach, type Refusal } from './waiting/publish-each.ts';
import { unlessAborted } from './waiting/unless-aborted.ts';

const settings = {
  SINK_NATS_SERVERS: {
    doc: 'Servers to connect to, one of them at a time, as URLs separated by commas; `tls://` for TLS.',
    format: urls(['nats:', 'tls:']),
    default: null,
    required: true,
    example: 'nats://nats-1.example:4222,nats://nats-2.example:4222',
  },
  SINK_NATS_SUBJECT: {
    doc: 'Subject; `{routing_key}`, `{namespace}` and `{job}` of the message may stand in it, behind a word of its own.',
    format: text,
    default: 'nomad.{routing_key}',
    example: 'nomad.{namespace}.{job}',
  },
  SINK_NATS_STREAM: {
    doc: 'Stream that must be the one to take the messages; none: whichever takes the subject.',
    format: text,
    default: null,
    example: 'NOMAD',
  },
  SINK_NATS_USER: { doc: 'User to log in as; goes with `SINK_NATS_PASSWORD`.', format: text, default: null },
  SINK_NATS_PASSWORD: { doc: 'Password of that user.', format: text, default: null, sensitive: true },
  SINK_NATS_TOKEN: { doc: 'Token to log in with, instead of a user.', format: text, default: null, sensitive: true },
  SINK_NATS_CREDENTIALS_FILE: {
    doc: 'File with the JWT and the seed of a user, as `nsc` writes it (`.creds`), instead of user or token; read anew at each connection.',
    format: path,
    default: null,
  },
  ...tlsSettings('SINK_NATS', 'the NATS servers'),
} as const satisfies Schema;

type NatsValues = Values<typeof settings>;

const connectTimeoutMs = 5000;
/** Longer than any `SINK_TIMEOUT` has reason to be: that one ends a write. */
const ackTimeoutMs = 60_000;
/** Messages of a batch that wait for their acknowledgement at once. */
const mostInFlight = 256;

/** What an event brings stays within the tokens that the template and the routing key have. */
export function makeSubject(template: string, message: Message): string {
  const filled = template
    .split('{routing_key}')
    .map((part) => fillTemplate(part, message))
    .join(message.routingKey);
  return filled
    .split('.')
    .map((token) => token.replaceAll(/[\s*>\p{Cc}]/gu, '_') || '_')
    .join('.');
}

/** Every subject that the template can give. */
export function makeFilter(template: string): string {
  return template.replace(/[^.]*\{routing_key\}.*$/u, '>').replaceAll(/[^.]*\{(?:namespace|job)\}[^.]*/gu, '*');
}

/**
 * Name and value of each. n.b. headers that begin with `Nats-` are orders to the server; those of the message are not
 * ours to give.
 */
export function makeHeaders(
  message: Message,
  stream: string | null,
): readonly (readonly [name: string, value: string])[] {
  const own = { type: message.type, 'content-type': message.contentType, 'app-id': message.appId };
  const others = Object.entries(message.headers).filter(
    ([name]) => /^[!-9;-~]+$/u.test(name) && !/^nats-/iu.test(name) && !(name in own),
  );
  const all = [
    ['Nats-Msg-Id', message.id],
    ['Nats-Expected-Stream', stream ?? ''],
    ...Object.entries(own),
    ...others,
  ] as const;
  // A line break in a value would be the next header.
  return all
    .map(
      ([name, value]) =>
        [
          name,
          String(value)
            .replaceAll(/\p{Cc}/gu, encodeURIComponent)
            .trim(),
        ] as const,
    )
    .filter(([, value]) => value !== '');
}

/** Of the message itself: above the stream's limit for one, or for headers. */
const refusals = new Set([10054, 10097]);
/** What whoever runs it can do about it, by JetStream's `err_code`. */
const hints: Readonly<Record<number, string>> = {
  10002: "the account's limits for JetStream are reached: raise them",
  10023: 'the server has no room left for JetStream: raise its max_file_store or max_memory_store',
  10039: 'JetStream is off for the account of this user',
  10054: "above the stream's max_msg_size",
  10060: 'another stream takes the subject: set SINK_NATS_STREAM or SINK_NATS_SUBJECT',
  10077: 'make room: raise the limits of the stream, or let it discard what is old',
};

/** What failed, without what the client wraps around it. */
function innermost(error: unknown): Error | undefined {
  let found: Error | undefined;
  for (let current = error, depth = 0; current instanceof Error && depth < 5; current = current.cause, depth += 1)
    found = current;
  return found;
}

function noStream(subject: string): string {
  return `Expected a stream of NATS to take ${subject}, none does: make one, such as \`nats stream add NOMAD --subjects '${subject.split('.', 1)[0] ?? ''}.>'\`, or set SINK_NATS_SUBJECT; is JetStream on (nats-server -js)?`;
}

/**
 * What the failure to publish a message means for it. Everything but its own size is mended at NATS or in the settings,
 * and waits.
 */
export function judgeFailure(error: unknown, subject: string): Refusal {
  const named = innermost(error);
  const expected = `Expected a stream of NATS to take ${subject}`;
  switch (named?.name) {
    case 'NoResponders':
      return { reason: noStream(subject), retryable: true };
    case 'PermissionViolationError':
      return {
        reason: `${expected}, got ${named.message} (the user needs the rights to publish to it and to subscribe to _INBOX.>)`,
        retryable: true,
      };
    case 'InvalidArgumentError':
    case 'InvalidSubjectError':
      return { reason: `${expected}, got ${named.message} of the client`, retryable: false };
    case 'SyntaxError':
      return {
        reason: `${expected}, got an answer of something else: no other subscriber of the subject may answer`,
        retryable: true,
      };
    case 'JetStreamApiError': {
      const code = 'code' in named && typeof named.code === 'number' ? named.code : 0;
      const hint = hints[code];
      const isRefused = refusals.has(code);
      // What nobody listed here may be about the message or not.
      return {
        reason: `${expected}, got ${named.message} (${String(code)}${hint === undefined ? '' : `: ${hint}`})`,
        retryable: !isRefused,
        isDoubtful: !isRefused && hint === undefined,
      };
    }
    default:
      return {
        reason: `${expected}, the connection was lost or nobody answered: ${describeError(named ?? error)}`,
        retryable: true,
      };
  }
}

type Client = Readonly<{ nats: typeof Nats; jetstream: typeof JetStream }>;
type Connection = Readonly<{ nats: Nats.NatsConnection; streams: JetStream.JetStreamClient }>;

class NatsSink implements Sink {
  readonly #values: NatsValues;
  readonly #context: SinkContext;
  readonly #tls: TlsOptions;
  readonly #isTls: boolean;
  readonly #silence: string;
  #client: Client | undefined;
  #connection: Connection | undefined;
  #connecting: Promise<Connection> | undefined;

  constructor(values: NatsValues, context: SinkContext) {
    this.#values = values;
    this.#context = context;
    this.#tls = readTlsOptions(values, 'SINK_NATS');
    const { caFile, certFile, serverName } = this.#tls;
    // Each of them says that nothing may go there in the clear.
    this.#isTls =
      [caFile, certFile, serverName].some((set) => set !== null) ||
      values.SINK_NATS_SERVERS.some((server) => server.startsWith('tls:'));
    this.#silence = `Expected NATS at ${values.SINK_NATS_SERVERS.join(', ')} to answer in time, it did not`;
  }

  async connect(signal: AbortSignal): Promise<void> {
    const [nats, jetstream] = await Promise.all([
      import('@nats-io/transport-node'),
      import('@nats-io/jetstream'),
    ]).catch((error: unknown) => {
      throw permanent(
        'Expected the packages @nats-io/transport-node and @nats-io/jetstream to be installed for SINK_TYPE=nats; install them beside Hydrant',
        error,
      );
    });
    this.#client = { nats, jetstream };
    await this.#connected(signal);
  }

  async write(batch: Batch, signal: AbortSignal): Promise<void> {
    const connection = await this.#connected(signal);
    try {
      await publishEach(batch, {
        publish: (message) => this.#publish(connection, message),
        mostInFlight,
        silence: this.#silence,
        signal,
      });
    } finally {
      // It must not be sent later, beside the next try; and all else that waits on this connection waits for the same
      // silent server.
      if (signal.aborted) this.#drop(connection);
    }
  }

  async healthcheck(signal: AbortSignal): Promise<void> {
    const { nats } = await this.#connected(signal);
    const { SINK_NATS_SUBJECT: template, SINK_NATS_STREAM: stream } = this.#values;
    const subject = makeFilter(template);
    const asking = this.#use()
      .jetstream.jetstreamManager(nats, { checkAPI: false, timeout: ackTimeoutMs })
      .then((manager) => manager.streams.names(subject).next());
    let names: readonly string[];
    try {
      names = await unlessAborted(asking, signal, this.#silence);
    } catch (error) {
      // Whoever may publish need not have the right to ask.
      if (innermost(error)?.name === 'PermissionViolationError') return;
      throw errorCode(error) === 'sink-retryable' ? error : retryable(judgeFailure(error, subject).reason);
    }
    if (names.length === 0) throw retryable(noStream(subject));
    if (stream !== null && !names.includes(stream))
      throw retryable(`Expected the stream ${stream} (SINK_NATS_STREAM) to take ${subject}, got ${names.join(', ')}`);
  }

  async close(): Promise<void> {
    // What connects just now sees it and ends by itself.
    this.#client = undefined;
    await this.#connection?.nats.close();
  }

  /** Undefined: taken. */
  async #publish({ nats, streams }: Connection, message: Message): Promise<Refusal | undefined> {
    const { SINK_NATS_SUBJECT: template, SINK_NATS_STREAM: stream } = this.#values;
    const { subject, pairs } = encodeOrRefuse(() => ({
      subject: makeSubject(template, message),
      pairs: makeHeaders(message, stream),
    }));
    // As the protocol has them: `NATS/1.0`, a line for each header, an empty one, the body.
    const bytes =
      pairs.reduce((sum, [name, value]) => sum + Buffer.byteLength(name) + Buffer.byteLength(value) + 4, 12) +
      message.body.length;
    const most = nats.info?.max_payload ?? Infinity;
    if (bytes > most)
      return {
        reason: `Expected a message of at most ${String(most)} bytes with its headers (max_payload of the server), got ${String(bytes)}`,
        retryable: false,
      };
    try {
      const headers = this.#use().nats.headers();
      for (const [name, value] of pairs) headers.set(name, value);
      const ack = await streams.publish(subject, message.body, { timeout: ackTimeoutMs, headers });
      // n.b. the client is content with any object.
      if (typeof ack.stream === 'string' && typeof ack.seq === 'number') return undefined;
      return judgeFailure(new SyntaxError('no acknowledgement'), subject);
    } catch (error) {
      return judgeFailure(error, subject);
    }
  }

  async #connected(signal: AbortSignal): Promise<Connection> {
    if (this.#connection !== undefined) return this.#connection;
    this.#connecting ??= this.#open().finally(() => {
      this.#connecting = undefined;
    });
    return unlessAborted(this.#connecting, signal, this.#silence);
  }

  /** One server after the other: each has its own name to be told by in its certificate. */
  async #open(): Promise<Connection> {
    let failure: Error = retryable('Expected the NATS sink to be connected, it is not');
    const servers = this.#values.SINK_NATS_SERVERS;
    const first = Math.floor(Math.random() * servers.length);
    for (const server of [...servers.slice(first), ...servers.slice(0, first)]) {
      const { nats: client, jetstream } = this.#use();
      try {
        const nats = await client.connect(this.#options(server, client));
        const connection = { nats, streams: jetstream.jetstream(nats) };
        this.#connection = connection;
        void nats.closed().then(() => {
          this.#drop(connection);
        });
        if (this.#client === undefined) this.#drop(connection);
        else return connection;
      } catch (error) {
        failure = this.#unreachable(server, error);
      }
    }
    throw failure;
  }

  #options(server: string, client: typeof Nats): Nats.NodeConnectionOptions {
    const {
      SINK_NATS_USER: user,
      SINK_NATS_PASSWORD: pass,
      SINK_NATS_TOKEN: token,
      SINK_NATS_CREDENTIALS_FILE: file,
    } = this.#values;
    return {
      servers: server,
      name: `hydrant sink ${this.#context.name}`,
      reconnect: false,
      timeout: connectTimeoutMs,
      resolve: false,
      ignoreClusterUpdates: true,
      noAsyncTraces: true,
      ...(this.#isTls ? { tls: makeTls(server, this.#tls) } : {}),
      ...(user === null ? {} : { user, pass: pass ?? '' }),
      ...(token === null ? {} : { token }),
      ...(file === null ? {} : { authenticator: makeAuthenticator(file, client) }),
    };
  }

  #unreachable(server: string, error: unknown): Error {
    if (errorCode(error) === 'sink-retryable' || errorCode(error) === 'tls-files') return error as Error;
    const named = innermost(error);
    const isLogin = /^(?:Authorization|UserAuthenticationExpired)Error$/u.test(named?.name ?? '');
    const hint = isLogin
      ? 'set SINK_NATS_USER and SINK_NATS_PASSWORD, SINK_NATS_TOKEN or SINK_NATS_CREDENTIALS_FILE to what it takes'
      : this.#isTls
        ? explainTls(named, this.#tls, systemClock.now())
        : undefined;
    return retryable(
      `Expected NATS at ${new URL(server).host} to let us in, got ${named === undefined ? 'a closed connection' : describeError(named)}${hint === undefined ? '' : `; ${hint}`}`,
    );
  }

  #use(): Client {
    if (this.#client === undefined) throw retryable('Expected the NATS sink to be connected, it is not');
    return this.#client;
  }

  #drop(connection: Connection): void {
    if (this.#connection === connection) this.#connection = undefined;
    void connection.nats.close();
  }
}

function check(values: NatsValues): readonly string[] {
  const {
    SINK_NATS_SERVERS: servers,
    SINK_NATS_SUBJECT: subject,
    SINK_NATS_STREAM: stream,
    SINK_NATS_USER: user,
    SINK_NATS_PASSWORD: password,
    SINK_NATS_TOKEN: token,
    SINK_NATS_CREDENTIALS_FILE: file,
  } = values;
  const problems = [...tlsProblems(readTlsOptions(values, 'SINK_NATS'))];
  if (servers.some((server) => new URL(server).username !== '' || new URL(server).password !== ''))
    problems.push(
      'Expected `SINK_NATS_SERVERS` to hold no login, got one; put it into `SINK_NATS_USER` and `SINK_NATS_PASSWORD`, or `SINK_NATS_TOKEN`',
    );
  // n.b. subjects that begin with `$` or `_` are the server's own: what an event is called must not choose one.
  const fixed = subject.replaceAll(/\{(?:routing_key|namespace|job)\}/gu, 'x');
  if (!/^[^$_{.][^{.]*(?:\.|$)/u.test(subject) || fixed.split('.').includes('') || /[\s*>{}\p{Cc}]/u.test(fixed)) {
    problems.push(
      `Expected \`SINK_NATS_SUBJECT\` to be words with "." between them, the first of its own (as in "nomad.{routing_key}"), without blanks, "*" and ">", got "${subject}"`,
    );
  }
  if (stream !== null && !/^[^\s.*>/\\\p{Cc}]+$/u.test(stream))
    problems.push(`Expected \`SINK_NATS_STREAM\` to be the name of a stream, got "${stream}"`);
  if ((user === null) !== (password === null))
    problems.push('Expected `SINK_NATS_USER` and `SINK_NATS_PASSWORD` to be set together, got one of them');
  if ([user, token, file].filter((login) => login !== null).length > 1)
    problems.push(
      'Expected one of `SINK_NATS_USER`, `SINK_NATS_TOKEN` and `SINK_NATS_CREDENTIALS_FILE` to be set, got several',
    );
  return problems;
}

export const natsSink: SinkDefinition<typeof settings> = {
  type: 'nats',
  settings,
  defaults: { batchEvents: 500, batchBytes: 4 * 1024 * 1024, batchAgeMs: 100 },
  // The subject and the headers beside the id are about as long.
  encodedBytes: ({ body, id }) => body.length + id.length + 400,
  check,
  create: (values, context) => new NatsSink(values, context),
};
