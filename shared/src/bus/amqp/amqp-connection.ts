/**
 * Keeps one connection to RabbitMQ, over every address that is listed, for as long as it runs.
 *
 * connecting: tries the addresses in turn; after each round waits with backoff. Left when the handshake and `onConnect`
 * have succeeded. up: `model` is set. Left when the connection ends, for whatever reason; then connecting again.
 * stopped: by `stop`, from any state; final.
 */
import { connect, credentials } from 'amqplib';
import type { ChannelModel } from 'amqplib';
import { createBackoff } from '../../foundation/backoff.ts';
import type { Clock } from '../../foundation/clock.ts';
import { describeError } from '../../foundation/errors.ts';
import type { Health } from '../../runtime/admin/health.ts';
import type { Logger } from '../../runtime/telemetry/logger.ts';
import { readTls } from '../../runtime/tls/read-tls.ts';
import type { TlsOptions } from '../../runtime/tls/tls-settings.ts';
import { version } from '../../runtime/version.ts';
import type { AmqpAddress } from './amqp-address.ts';
import { destroySocket } from './amqp-socket.ts';
import { explainConnectFailure } from './explain-amqp.ts';
import { unlessAborted } from './waits.ts';

export interface AmqpConnectionOptions {
  /** As in `/readyz`: `rabbitmq-publish`. */
  readonly name: string;
  readonly addresses: readonly AmqpAddress[];
  /** Shown in RabbitMQ's list of connections. */
  readonly connectionName: string;
  /** For addresses of `amqps://`; files are read anew for each connection. */
  readonly tls: TlsOptions;
  readonly log: Logger;
  readonly clock: Clock;
  /** Runs on each new connection before it counts as up; a rejection ends the connection. */
  readonly onConnect: (model: ChannelModel) => Promise<void>;
}

/** As RabbitMQ shows them of a connection. */
const clientProperties = {
  product: 'Hydrant',
  version,
  platform: `Node.js ${process.versions.node}`,
  information: 'Hydrant reads the event stream of HashiCorp Nomad',
};
const closeTimeoutMs = 2_000;
const backoffMs = { minMs: 100, maxMs: 5_000 };
/** A connection that stood this long was a good one: the next tries begin with the smallest delay again. */
const goodConnectionMs = 5_000;
const writeBufferBytes = 1024 * 1024;

export class AmqpConnection {
  readonly #options: AmqpConnectionOptions;
  readonly #stopping = new AbortController();
  #up = makeSignal();
  #running: Promise<void> | undefined;
  /** From the handshake to the end of the connection. */
  #current: ChannelModel | undefined;
  /** While it is up. */
  #model: ChannelModel | undefined;
  #shownAddress = '';
  #blockedReason: string | undefined;
  #lastError: string | undefined;

  constructor(options: AmqpConnectionOptions) {
    this.#options = options;
  }

  /** Begins to connect in the background; once. */
  start(): void {
    this.#running ??= this.#run(this.#stopping.signal);
  }

  /** Says goodbye to the broker, within 2 s and until `deadline` aborts. Safe without `start` and when called twice. */
  async stop(deadline: AbortSignal): Promise<void> {
    this.#stopping.abort();
    const model = this.#current;
    if (model !== undefined) {
      // Ends the wait below and, through `close`, the loop; rejects when the connection is closed already.
      model.close().catch(() => undefined);
      const answered = new AbortController();
      model.once('close', () => {
        answered.abort();
      });
      await this.#options.clock.sleep(closeTimeoutMs, AbortSignal.any([deadline, answered.signal]));
      destroySocket(model, new Error('RabbitMQ did not answer the closing of the connection'));
    }
    await this.#running;
  }

  /** The connection that is up. */
  get model(): ChannelModel | undefined {
    return this.#model;
  }

  /** Waits for the connection that is up; gives it, or undefined when `signal` aborts before there is one. */
  async whenUp(signal: AbortSignal): Promise<ChannelModel | undefined> {
    while (this.#model === undefined && !signal.aborted) await unlessAborted(this.#up.promise, signal);
    return signal.aborted ? undefined : this.#model;
  }

  /** Ends a connection that is of no more use; a new one is made. */
  end(model: ChannelModel, reason: Error): void {
    destroySocket(model, reason);
  }

  health(): Health {
    if (this.#blockedReason !== undefined)
      return { status: 'fail', detail: `RabbitMQ at ${this.#shownAddress} blocks publishers: ${this.#blockedReason}` };
    if (this.#model !== undefined) return { status: 'pass', detail: `Connected to ${this.#shownAddress}` };
    const addresses = this.#options.addresses.map((address) => address.shown).join(', ');
    return {
      status: 'fail',
      detail: `Not connected to ${addresses}${this.#lastError === undefined ? '' : `: ${this.#lastError}`}`,
    };
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { addresses, clock } = this.#options;
    const backoff = createBackoff(backoffMs);
    for (let attempt = 0; !signal.aborted; attempt += 1) {
      const address = addresses[attempt % addresses.length];
      if (address === undefined) return;
      const stoodMs = await this.#holdConnection(address, signal);
      if (stoodMs >= goodConnectionMs) backoff.reset();
      const isRoundOver = (attempt + 1) % addresses.length === 0;
      if (isRoundOver) await clock.sleep(backoff.next(), signal);
    }
  }

  /** One connection from beginning to end; resolves with how long it was up, milliseconds. */
  async #holdConnection(address: AmqpAddress, signal: AbortSignal): Promise<number> {
    const { clock, log, name, onConnect } = this.#options;
    let model: ChannelModel | undefined;
    try {
      model = await this.#connect(address, signal);
      const ended = watchEnd(model);
      this.#current = model;
      if (signal.aborted) return 0;
      await Promise.race([
        onConnect(model),
        ended.then((reason) => {
          throw reason;
        }),
      ]);
      const upAtMs = clock.monotonic();
      this.#setUp(model, address);
      const reason = await ended;
      this.#setDown();
      if (!signal.aborted)
        log.warn(
          { connection: name, address: address.shown, reason: describeError(reason) },
          'Disconnected from RabbitMQ, will connect again',
        );
      else log.info({ connection: name, address: address.shown }, 'Disconnected from RabbitMQ');
      return clock.monotonic() - upAtMs;
    } catch (thrown) {
      if (!signal.aborted) this.#noteFailure(address, thrown);
      return 0;
    } finally {
      // After a missed heartbeat amqplib leaves the socket half open.
      this.#current = undefined;
      if (model !== undefined) destroySocket(model);
    }
  }

  async #connect(address: AmqpAddress, signal: AbortSignal): Promise<ChannelModel> {
    const { connectionName, tls } = this.#options;
    const { login } = address;
    const attempt = new AbortController();
    const abort = (): void => {
      attempt.abort();
    };
    signal.addEventListener('abort', abort, { once: true });
    // Node's sockets take `signal` and the water mark, amqplib's types do not name them.
    const socketOptions = {
      ...(address.isTls ? readTls(tls) : {}),
      timeout: address.connectTimeoutMs,
      noDelay: true,
      keepAlive: true,
      credentials: login === null ? credentials.external() : credentials.plain(login.user, login.password),
      clientProperties: { ...clientProperties, connection_name: connectionName },
      signal: attempt.signal,
      writableHighWaterMark: writeBufferBytes,
    };
    try {
      return await connect(address.target, socketOptions);
    } finally {
      signal.removeEventListener('abort', abort);
    }
  }

  #setUp(model: ChannelModel, address: AmqpAddress): void {
    const { log, name } = this.#options;
    model.on('blocked', (reason: string) => {
      this.#blockedReason = reason;
      log.warn({ connection: name, reason }, 'RabbitMQ blocks publishers, waiting');
    });
    model.on('unblocked', () => {
      this.#blockedReason = undefined;
      log.info({ connection: name }, 'RabbitMQ takes messages again');
    });
    this.#model = model;
    this.#shownAddress = address.shown;
    this.#lastError = undefined;
    log.info({ connection: name, address: address.shown }, 'Connected to RabbitMQ');
    this.#up.give();
  }

  #setDown(): void {
    this.#model = undefined;
    this.#up = makeSignal();
    this.#blockedReason = undefined;
  }

  /** One line per kind of failure, not per try. */
  #noteFailure(address: AmqpAddress, thrown: unknown): void {
    const { clock, log, name, tls } = this.#options;
    const why = explainConnectFailure(thrown, address, tls, clock.now());
    const reason = `${describeError(thrown).trim()}${why === undefined ? '' : `; ${why}`}`;
    const isNew = reason !== this.#lastError;
    this.#lastError = reason;
    log[isNew ? 'warn' : 'debug'](
      { connection: name, address: address.shown, reason },
      'Could not connect to RabbitMQ, will try again',
    );
  }
}

interface Signal {
  readonly promise: Promise<void>;
  readonly give: () => void;
}

function makeSignal(): Signal {
  let give = (): void => undefined;
  const promise = new Promise<void>((resolve) => {
    give = resolve;
  });
  return {
    promise,
    give: () => {
      give();
    },
  };
}

/**
 * Resolves with the reason when the connection ends. Must be called before anything else is awaited: an `error` that
 * nobody hears ends the process.
 */
function watchEnd(model: ChannelModel): Promise<Error> {
  return new Promise((resolve) => {
    let reason: Error | undefined;
    model.on('error', (error: Error) => {
      reason = error;
    });
    model.on('close', (error?: Error) => {
      resolve(reason ?? error ?? new Error('Connection closed'));
    });
  });
}
