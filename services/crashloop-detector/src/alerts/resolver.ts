/**
 * Announces the ends of crash loops. What runs well says nothing, so it asks the ledger every few seconds; and it asks
 * only while an absence means something: the bus has stood for a while, and the messages are not a backlog from a time
 * when nobody read them.
 */
import type { Clock } from '@hydrant/shared/foundation/clock';
import { isRetryable } from '@hydrant/shared/foundation/errors';
import type { Message } from '@hydrant/shared/messages/message';
import type { Ledger, LedgerSize, Place, ResolvedClaim } from '../ledger/ledger.ts';
import type { AlertPublisher } from './alert-publisher.ts';
import { buildResolvedMessage } from './build-alert.ts';

export interface ResolverTelemetry {
  alertPublished(status: 'resolved', message: Message, place: Place): void;
  alertUnrouted(status: 'resolved', message: Message, place: Place): void;
  /** Nothing was heard of the loop for so long that it is given up. */
  loopSilent(claim: ResolvedClaim): void;
  /** The destination will never take it: nobody hears of this end. */
  resolvedRefused(message: Message, error: unknown): void;
  /** The ledger or the destination of alerts is away. */
  resolvedRetried(error: unknown): void;
  ledgerSized(size: LedgerSize): void;
}

export interface ResolverOptions {
  /** May hold `{namespace}` and `{job}`. */
  readonly routingKey: string;
  /** False: loops end without being announced. */
  readonly notify: boolean;
}

export interface ResolverPorts {
  readonly options: ResolverOptions;
  readonly ledger: Ledger;
  readonly alertPublisher: AlertPublisher;
  readonly telemetry: ResolverTelemetry;
  readonly clock: Clock;
  /** Whether messages can arrive. */
  isConnected(): boolean;
}

const turnEveryMs = 5000;
/** Ends announced in one turn. */
const mostPerTurn = 100;
/** Publishing times that run ahead of the clock by this much in a turn are a backlog. AMQP carries whole seconds. */
const backlogMs = 2000;

export class Resolver {
  readonly #ports: ResolverPorts;
  #wasConnected = false;
  /**
   * Latest publishing time among the messages, and what it was at the last turn, by the clock of whoever published
   * them.
   */
  #publishedMs: number | undefined;
  #atLastTurn: { readonly monotonicMs: number; readonly publishedMs: number | undefined } | undefined;

  constructor(ports: ResolverPorts) {
    this.#ports = ports;
  }

  /** Each message goes by here; a backlog shows in their times. */
  messageReceived(timestampMs: number): void {
    if (timestampMs > (this.#publishedMs ?? 0)) this.#publishedMs = timestampMs;
  }

  /** Resolves when `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, telemetry } = this.#ports;
    while (!signal.aborted) {
      await clock.sleep(turnEveryMs, signal);
      if (signal.aborted) return;
      try {
        await this.#turn(signal);
      } catch (error) {
        telemetry.resolvedRetried(error);
      }
    }
  }

  async #turn(signal: AbortSignal): Promise<void> {
    const { ledger, telemetry } = this.#ports;
    telemetry.ledgerSized(await ledger.size());
    if (!this.#isCurrent()) return;
    for (const claim of await ledger.takeResolved(mostPerTurn)) {
      // What is not announced passes to the next that asks.
      if (signal.aborted) return;
      await this.#announce(claim);
    }
  }

  /** The first turn, and the first after a disconnection, only looks. */
  #isCurrent(): boolean {
    const before = this.#atLastTurn;
    const wasConnected = this.#wasConnected;
    const now = { monotonicMs: this.#ports.clock.monotonic(), publishedMs: this.#publishedMs };
    this.#atLastTurn = now;
    this.#wasConnected = this.#ports.isConnected();
    if (!wasConnected || !this.#wasConnected || before === undefined) return false;
    if (now.publishedMs === undefined || before.publishedMs === undefined)
      return now.publishedMs === before.publishedMs;
    return now.publishedMs - before.publishedMs <= 2 * (now.monotonicMs - before.monotonicMs) + backlogMs;
  }

  async #announce(claim: ResolvedClaim): Promise<void> {
    const { alertPublisher, clock, ledger, options, telemetry } = this.#ports;
    if (claim.reason === 'silent') telemetry.loopSilent(claim);
    if (options.notify) {
      const message = buildResolvedMessage(claim, { routingKey: options.routingKey, timestampMs: clock.now() });
      try {
        const result = await alertPublisher.publish(message);
        if (result === 'unrouted') telemetry.alertUnrouted('resolved', message, claim.place);
        else telemetry.alertPublished('resolved', message, claim.place);
      } catch (error) {
        if (isRetryable(error)) throw error;
        telemetry.resolvedRefused(message, error);
      }
    }
    await ledger.confirmResolved(claim);
  }
}
