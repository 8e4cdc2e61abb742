/**
 * The bus within one process: a log, and a cursor in it per subscription. `publish` resolves when the message is in the
 * log; a subscription that stands still holds up nobody until the log is full. Dead letters go to a file per
 * subscription.
 */
import { setMaxListeners } from 'node:events';
import type { Clock, Timer } from '../../foundation/clock.ts';
import { HydrantError, describeError } from '../../foundation/errors.ts';
import type { Message } from '../../messages/message.ts';
import type { Health, HealthCheck } from '../../runtime/admin/health.ts';
import type { Logger } from '../../runtime/telemetry/logger.ts';
import type { Spool } from '../../spool/spool.ts';
import type { Bus, Handler, PublishOptions, PublishResult, Subscription, SubscriptionOptions } from '../bus.ts';
import { DeadLetterFile } from './dead-letter-file.ts';
import { deadLetterPath } from './dead-letter-paths.ts';
import { InProcessSubscription } from './in-process-subscription.ts';
import { takeInRemovals } from './queue-removals.ts';
import { takeInReplays } from './replay-intake.ts';

export interface InProcessBusOptions {
  /** Opened by `start` and closed by `stop`. */
  readonly spool: Spool;
  /** Holds `<subscription>.ndjson`, made when the first dead letter comes. */
  readonly deadLetterDir: string;
  /**
   * Names of all that will subscribe: the log holds what others left unread, and is full some day. Default: any name
   * may come.
   */
  readonly readers?: readonly string[];
  readonly log: Logger;
  readonly clock: Clock;
}

interface Pending {
  readonly message: Message;
  resolve(): void;
  reject(error: Error): void;
}

const maxAppend = 500;
const maxNameBytes = 255;
const fullLogEveryMs = 30_000;

function checkMessage(message: Message): void {
  for (const field of ['id', 'routingKey', 'type', 'contentType', 'appId'] as const) {
    const value = message[field];
    // A character has three bytes of UTF-8 at most, so short ones need no counting.
    if (value.length * 3 <= maxNameBytes || Buffer.byteLength(value) <= maxNameBytes) continue;
    throw new HydrantError(
      `Expected ${field} of message "${message.id.slice(0, maxNameBytes)}" to have at most ${maxNameBytes} bytes, got ${Buffer.byteLength(value)}`,
      {
        code: 'bus-message-invalid',
        retryable: false,
      },
    );
  }
}

function busUnavailable(why: string, cause?: unknown): HydrantError {
  return new HydrantError(`Expected the log to take the message, but ${why}`, {
    code: 'bus-unavailable',
    retryable: true,
    cause,
  });
}

class InProcessBus implements Bus {
  readonly name = 'bus';
  readonly healthChecks: readonly HealthCheck[] = [{ name: 'log', check: () => this.#check() }];
  readonly #options: InProcessBusOptions;
  readonly #subscriptions = new Map<string, InProcessSubscription>();
  /** What a publish is matched against; kept when a subscription closes, since its cursor stays. */
  readonly #bindings = new Map<string, (routingKey: string) => boolean>();
  readonly #stopping = new AbortController();
  readonly #appends = new Set<Promise<void>>();
  #pending: Pending[] = [];
  #isStarted = false;
  #intakes: Promise<unknown> = Promise.resolve();
  #isFull = false;
  /** The subscription that was named since the log became full. */
  #toldOf: string | undefined;
  #toldAtMs = -Infinity;
  #fullTimer: Timer | undefined;
  #appendProblem: string | undefined;

  constructor(options: InProcessBusOptions) {
    this.#options = options;
    // n.b. each group of messages that is appended waits with it.
    setMaxListeners(0, this.#stopping.signal);
    options.spool.onFull((slowest) => {
      this.#noteFull(slowest !== null);
    });
  }

  async start(): Promise<void> {
    await this.#options.spool.open();
    this.#isStarted = true;
    this.#tellOfUnread();
    const { deadLetterDir, spool, log, clock } = this.#options;
    this.#intakes = Promise.all([
      takeInReplays(
        {
          deadLetterDir,
          subscriptions: () => this.#subscriptions.keys(),
          publish: (message) => this.publish(message),
          log,
          clock,
        },
        this.#stopping.signal,
      ),
      takeInRemovals({ deadLetterDir, spool, isRead: (name) => this.#isRead(name), log, clock }, this.#stopping.signal),
    ]);
  }

  async stop(deadline: AbortSignal): Promise<void> {
    // n.b. Handlers may publish until they have settled, so publishing ends after them.
    await Promise.all([...this.#subscriptions.values()].map((subscription) => subscription.close(deadline)));
    this.#isStarted = false;
    this.#stopping.abort();
    this.#fullTimer?.cancel();
    this.#flush();
    await Promise.all(this.#appends);
    await this.#intakes;
    await this.#options.spool.close();
  }

  publish(message: Message, options: PublishOptions = {}): Promise<PublishResult> {
    return new Promise((resolve, reject) => {
      if (!this.#isStarted) throw busUnavailable('the bus is not running');
      checkMessage(message);
      const result = options.mandatory === true && !this.#isWanted(message.routingKey) ? 'unrouted' : 'routed';
      const pending: Pending = {
        message,
        resolve: () => {
          resolve(result);
        },
        reject,
      };
      if (options.evenWhenFull === true) {
        this.#flush();
        this.#append([pending], true);
        return;
      }
      this.#pending.push(pending);
      if (this.#pending.length === 1)
        queueMicrotask(() => {
          this.#flush();
        });
    });
  }

  /** A new subscription begins at the end of the log: like a new queue, it gets what is published from now on. */
  subscribe(options: SubscriptionOptions, handler: Handler, signal: AbortSignal): Promise<Subscription> {
    return new Promise((resolve) => {
      const { spool, deadLetterDir, log, clock } = this.#options;
      const { name } = options;
      if (signal.aborted) throw busUnavailable(`subscribing "${name}" was given up`);
      if (!this.#isStarted) throw busUnavailable('the bus is not running');
      if (this.#subscriptions.has(name)) {
        throw new HydrantError(
          `Expected one subscription of the name "${name}", got a second; give each consumer a name of its own`,
          { code: 'bus-refused', retryable: false },
        );
      }
      const subscription = new InProcessSubscription(options, handler, {
        cursor: spool.cursor(name, { from: 'end' }),
        deadLetters: new DeadLetterFile(deadLetterPath(deadLetterDir, name), clock),
        oldUpTo: spool.last,
        log,
        clock,
        closed: () => {
          this.#subscriptions.delete(name);
        },
      });
      this.#subscriptions.set(name, subscription);
      this.#bindings.set(name, subscription.matches);
      subscription.start();
      resolve(subscription);
    });
  }

  hasQueue(name: string): Promise<boolean> {
    return this.#isStarted
      ? Promise.resolve(this.#bindings.has(name))
      : Promise.reject(busUnavailable('the bus is not running'));
  }

  #isWanted(routingKey: string): boolean {
    for (const matches of this.#bindings.values()) if (matches(routingKey)) return true;
    return false;
  }

  #isRead(name: string): boolean {
    return this.#subscriptions.has(name) || (this.#options.readers?.includes(name) ?? true);
  }

  #tellOfUnread(): void {
    const { spool, log } = this.#options;
    for (const { name, lag, lagBytes } of spool.cursors().filter((cursor) => !this.#isRead(cursor.name))) {
      log.warn(
        { queue: name, messages: lag, bytes: lagBytes, maxBytes: spool.maxBytes },
        'No sink reads this queue, and the log keeps all that is published for it until it is full: put its sink back, or remove it with `remove-queue`',
      );
    }
  }

  /** Appends what was published since the last turn, in few calls of the log. */
  #flush(): void {
    const pending = this.#pending;
    this.#pending = [];
    for (let at = 0; at < pending.length; at += maxAppend) this.#append(pending.slice(at, at + maxAppend), false);
  }

  #append(group: readonly Pending[], evenWhenFull: boolean): void {
    const messages = group.map(({ message }) => message);
    const append = this.#options.spool.append(messages, this.#stopping.signal, { evenWhenFull }).then(
      () => {
        this.#appendProblem = undefined;
        for (const { resolve } of group) resolve();
      },
      (thrown: unknown) => {
        this.#appendProblem = describeError(thrown);
        const error = busUnavailable('it could not be written', thrown);
        for (const { reject } of group) reject(error);
      },
    );
    this.#appends.add(append);
    void append.then(() => this.#appends.delete(append));
  }

  /**
   * Told at once, or, when that was lately, as soon as it is time and if it still is; and again when another
   * subscription has become the slowest.
   */
  #noteFull(isFull: boolean): void {
    const { log, clock, spool } = this.#options;
    this.#isFull = isFull;
    if (!isFull) {
      this.#fullTimer?.cancel();
      this.#fullTimer = undefined;
      if (this.#toldOf !== undefined)
        log.info({ maxBytes: spool.maxBytes }, 'The log has room again: publishing goes on');
      this.#toldOf = undefined;
      return;
    }
    const waitMs = fullLogEveryMs - (clock.monotonic() - this.#toldAtMs);
    if (waitMs <= 0) this.#tellOfFull();
    else this.#tellLater(waitMs);
  }

  #tellLater(waitMs: number): void {
    this.#fullTimer ??= this.#options.clock.after(waitMs, () => {
      this.#fullTimer = undefined;
      this.#tellOfFull();
    });
  }

  #tellOfFull(): void {
    const { log, clock, spool } = this.#options;
    const subscription = this.#slowest();
    if (subscription !== this.#toldOf) {
      this.#toldAtMs = clock.monotonic();
      log.warn(
        { subscription, maxBytes: spool.maxBytes },
        'The log is full: publishing waits for its slowest subscription',
      );
    }
    this.#toldOf = subscription;
    this.#tellLater(fullLogEveryMs);
  }

  /** n.b. while the log is full another one may become it: the one for which it filled has caught up. */
  #slowest(): string {
    const [first, ...others] = this.#options.spool.cursors();
    return (
      others.reduce((slowest, one) => (one.committed < (slowest?.committed ?? 0) ? one : slowest), first)?.name ?? ''
    );
  }

  #check(): Health {
    if (!this.#isStarted) return { status: 'fail', detail: 'The log is not open' };
    if (this.#isFull) {
      const slowest = this.#slowest();
      return {
        status: 'fail',
        detail: `The log is full and waits for subscription "${slowest}"${this.#isRead(slowest) ? '' : ', which no sink reads: put its sink back, or remove it with `remove-queue`'}`,
      };
    }
    if (this.#appendProblem !== undefined) return { status: 'fail', detail: this.#appendProblem };
    for (const [name, { problem }] of this.#subscriptions) {
      if (problem !== undefined)
        return { status: 'fail', detail: `Subscription "${name}" cannot read the log: ${problem}` };
    }
    return { status: 'pass', detail: `${this.#options.spool.bytes} of ${this.#options.spool.maxBytes} bytes` };
  }
}

/** A bus over a log of its own; a stopped one is not started again. */
export function createInProcessBus(options: InProcessBusOptions): Bus {
  return new InProcessBus(options);
}
