/**
 * One subscription: reads its cursor, hands out what its bindings match as far as prefetch and maxHeldBytes allow, and
 * commits the cursor up to the oldest message that is not settled. States: handing out ⇄ paused → closing (no new
 * messages, handlers finish) → closed (what is unsettled is read again).
 */
import { createBackoff } from '../../foundation/backoff.ts';
import type { Clock, Timer } from '../../foundation/clock.ts';
import { describeError, toError } from '../../foundation/errors.ts';
import type { Logger } from '../../runtime/telemetry/logger.ts';
import type { Cursor, SpoolRecord } from '../../spool/spool.ts';
import { Wakeups } from '../../spool/wakeups.ts';
import type { Handler, Settlement, Subscription, SubscriptionOptions } from '../bus.ts';
import { makeDeadLetter, restoreReplayed } from '../dead-letters.ts';
import { compileBindings } from '../topic-pattern.ts';
import type { DeadLetterFile } from './dead-letter-file.ts';
import { directRoutingKey, isDirect } from './dead-letter-paths.ts';
import { SettlementWindow } from './settlement-window.ts';
import type { HeldMessage } from './settlement-window.ts';

export interface InProcessSubscriptionPorts {
  readonly cursor: Cursor;
  readonly deadLetters: DeadLetterFile;
  /** Messages up to this position may have been handed out before. */
  readonly oldUpTo: number;
  readonly log: Logger;
  readonly clock: Clock;
  /** Called once, when it is closed. */
  closed(): void;
}

const readLimits = { maxRecords: 1_000, maxBytes: 1024 * 1024 };
const retryBackoff = { minMs: 100, maxMs: 30_000 };
const throwLogEveryMs = 1_000;

export class InProcessSubscription implements Subscription {
  readonly matches: (routingKey: string) => boolean;
  readonly #options: SubscriptionOptions;
  readonly #handler: Handler;
  readonly #ports: InProcessSubscriptionPorts;
  readonly #window: SettlementWindow;
  readonly #changed = new Wakeups();
  readonly #closing = new AbortController();
  readonly #retries = new Map<HeldMessage, Timer>();
  /** Retries that fell due while paused. */
  readonly #due: HeldMessage[] = [];
  #handingOut: Promise<void> = Promise.resolve();
  /** Handlers and dead letters under way. */
  #busy = 0;
  #isPaused = false;
  #isOverBytes = false;
  #isClosed = false;
  #problem: string | undefined;
  #throwLoggedAtMs = -throwLogEveryMs;

  constructor(options: SubscriptionOptions, handler: Handler, ports: InProcessSubscriptionPorts) {
    const isBound = compileBindings(options.bindings);
    const direct = directRoutingKey(options.name);
    this.matches = (routingKey) => (isDirect(routingKey) ? routingKey === direct : isBound(routingKey));
    this.#options = options;
    this.#handler = handler;
    this.#ports = ports;
    this.#window = new SettlementWindow(ports.cursor.committed);
  }

  get held(): number {
    return this.#window.count;
  }

  /** Why nothing can be read from the log just now, if so. */
  get problem(): string | undefined {
    return this.#problem;
  }

  start(): void {
    this.#handingOut = this.#run();
  }

  pause(): Promise<void> {
    this.#isPaused = true;
    return Promise.resolve();
  }

  /** They stay in the window: it is bounded, and the log has them in any case. */
  async release(signal: AbortSignal): Promise<void> {
    this.#isPaused = true;
    for (const [held, timer] of this.#retries) {
      timer.cancel();
      this.#due.push(held);
    }
    this.#retries.clear();
    while (this.#busy > 0 && !signal.aborted) await this.#changed.wait(signal);
  }

  resume(): Promise<void> {
    if (this.#closing.signal.aborted) return Promise.resolve();
    this.#isPaused = false;
    for (const held of this.#due.splice(0).sort((one, other) => one.sequence - other.sequence)) this.#call(held);
    this.#changed.wake();
    return Promise.resolve();
  }

  async close(signal: AbortSignal): Promise<void> {
    this.#isPaused = true;
    this.#closing.abort();
    for (const timer of this.#retries.values()) timer.cancel();
    await this.#handingOut;
    while (this.#busy > 0 && !signal.aborted) await this.#changed.wait(signal);
    if (this.#isClosed) return;

    this.#isClosed = true;
    this.#ports.cursor.rewind(this.#ports.cursor.committed + 1);
    this.#ports.closed();
    await this.#ports.deadLetters.close();
  }

  async #run(): Promise<void> {
    const { cursor, clock, log } = this.#ports;
    const { signal } = this.#closing;
    const backoff = createBackoff(retryBackoff);
    while (!signal.aborted) {
      try {
        await this.#handOut(await cursor.read(readLimits, signal));
        this.#problem = undefined;
        backoff.reset();
      } catch (thrown) {
        this.#problem = describeError(thrown);
        log.error({ err: toError(thrown), subscription: this.#options.name }, 'The log could not be read, will retry');
        await clock.sleep(backoff.next(), signal);
      }
    }
  }

  async #handOut(records: readonly SpoolRecord[]): Promise<void> {
    const { signal } = this.#closing;
    for (const { position, message } of records) {
      if (!this.matches(message.routingKey)) {
        this.#window.pass(position);
        continue;
      }
      while (!this.#hasRoom()) {
        if (signal.aborted) return;
        await this.#changed.wait(signal);
      }
      this.#call(this.#window.hold(position, isDirect(message.routingKey) ? restoreReplayed(message) : message));
    }
    this.#commit();
  }

  #hasRoom(): boolean {
    if (this.#isPaused || this.#window.count >= this.#options.prefetch) return false;
    const limit = this.#isOverBytes ? this.#options.maxHeldBytes / 2 : this.#options.maxHeldBytes;
    this.#isOverBytes = this.#window.count > 0 && this.#window.bytes >= limit;
    return !this.#isOverBytes;
  }

  #call(held: HeldMessage): void {
    const redelivered = held.attempts > 0 || held.position <= this.#ports.oldUpTo;
    held.attempts += 1;
    this.#busy += 1;
    let settling: Promise<Settlement>;
    try {
      settling = this.#handler({ message: held.message, redelivered, receivedAtMs: this.#ports.clock.monotonic() });
    } catch (thrown) {
      settling = Promise.reject(toError(thrown));
    }
    settling.then(
      (settlement) => {
        this.#settle(held, settlement);
      },
      (thrown: unknown) => {
        this.#retryAfterThrow(held, thrown);
      },
    );
  }

  #settle(held: HeldMessage, settlement: Settlement): void {
    if (this.#isClosed) return;
    switch (settlement.action) {
      case 'ack':
        this.#done(held);
        break;
      case 'retry':
        this.#retry(held, settlement.afterMs);
        break;
      case 'dead-letter':
        void this.#keepDeadLetter(held, settlement.reason, settlement.attempts ?? held.attempts);
        break;
    }
  }

  #done(held: HeldMessage): void {
    if (this.#isClosed) return;
    this.#window.settle(held);
    this.#commit();
    this.#release();
  }

  #release(): void {
    this.#busy -= 1;
    this.#changed.wake();
  }

  #commit(): void {
    this.#ports.cursor.commit(this.#window.settledUpTo);
  }

  #retryAfterThrow(held: HeldMessage, thrown: unknown): void {
    if (this.#isClosed) return;
    held.backoff ??= createBackoff(retryBackoff);
    const afterMs = held.backoff.next();
    const nowMs = this.#ports.clock.monotonic();
    if (nowMs - this.#throwLoggedAtMs >= throwLogEveryMs) {
      this.#throwLoggedAtMs = nowMs;
      this.#ports.log.warn(
        {
          err: toError(thrown),
          subscription: this.#options.name,
          id: held.message.id,
          attempts: held.attempts,
          afterMs,
        },
        'A handler threw, its message will be handed out again; further throws within a second are not logged',
      );
    }
    this.#retry(held, afterMs);
  }

  #retry(held: HeldMessage, afterMs: number): void {
    if (this.#isPaused) {
      this.#due.push(held);
    } else if (!this.#closing.signal.aborted) {
      this.#retries.set(
        held,
        this.#ports.clock.after(afterMs, () => {
          this.#retries.delete(held);
          if (this.#isPaused) this.#due.push(held);
          else this.#call(held);
        }),
      );
    }
    this.#release();
  }

  /** Never rejects: tries until the dead letter is on disk, or leaves the message unsettled when closing. */
  async #keepDeadLetter(held: HeldMessage, reason: string, attempts: number): Promise<void> {
    const { clock, deadLetters, log } = this.#ports;
    const { name, consumer } = this.#options;
    const deadLetter = makeDeadLetter(held.message, {
      subscription: name,
      consumer,
      reason,
      attempts,
      failedAtMs: clock.now(),
    });
    const backoff = createBackoff(retryBackoff);
    for (;;) {
      try {
        await deadLetters.append(deadLetter);
        this.#done(held);
        return;
      } catch (thrown) {
        log.warn(
          { err: toError(thrown), subscription: name, id: held.message.id },
          'A dead letter could not be kept, will retry; its message stays in the log',
        );
      }
      await clock.sleep(backoff.next(), this.#closing.signal);
      if (this.#closing.signal.aborted) break;
    }
    this.#release();
  }
}
