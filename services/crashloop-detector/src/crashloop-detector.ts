/**
 * The wiring of the detector: event → observations → ledger → alert. Everything outside comes in as a port, so that the
 * same function serves the process of its own and the standalone one.
 */
import type { Bus, Delivery, Settlement, Subscription } from '@hydrant/shared/bus/bus';
import { createBackoff } from '@hydrant/shared/foundation/backoff';
import type { Clock } from '@hydrant/shared/foundation/clock';
import { describeError, errorCode, isRetryable } from '@hydrant/shared/foundation/errors';
import type { Component } from '@hydrant/shared/runtime/component';
import type { Logger } from '@hydrant/shared/runtime/telemetry/logger';
import type { AlertPublisher } from './alerts/alert-publisher.ts';
import { Announcer } from './alerts/announcer.ts';
import { Resolver } from './alerts/resolver.ts';
import type { GroupBy } from './crashes/lineage.ts';
import { ToldTwice } from './crashes/told-twice.ts';
import type { Ledger, Observation } from './ledger/ledger.ts';
import { readObservations, showsCrash } from './read-observations.ts';
import type { Outlook } from './page/outlook.ts';
import { chooseRule, type Rules } from './rules/choose-rule.ts';
import type { DetectorTelemetry } from './telemetry.ts';

export interface CrashloopDetectorOptions extends Rules {
  readonly queue: string;
  readonly bindings: readonly string[];
  /** Events in hand at once; calls to the ledger are pipelined that far. */
  readonly prefetch: number;
  readonly maxHeldBytes: number;
  readonly groupBy: GroupBy;
  /** Routing key of an alert; may hold `{namespace}` and `{job}`. */
  readonly alertRoutingKey: string;
  /** The same for the end of a crash loop. */
  readonly resolvedRoutingKey: string;
  /** Whether the end of a crash loop is announced. */
  readonly notifyResolved: boolean;
  /** Bounds of the pause before an event is tried again while the ledger or the alert's destination is away. */
  readonly retryMinMs: number;
  readonly retryMaxMs: number;
}

export interface CrashloopDetectorPorts {
  readonly options: CrashloopDetectorOptions;
  readonly bus: Bus;
  readonly ledger: Ledger;
  readonly alertPublisher: AlertPublisher;
  readonly telemetry: DetectorTelemetry;
  /** Hears of each event. */
  readonly outlook?: Pick<Outlook, 'eventReceived'>;
  readonly log: Logger;
  readonly clock: Clock;
}

/** How long `start` waits for the subscription: in one process it then stands before the first event is published. */
const subscribeGraceMs = 2000;
/** The same for the ledger: whose state a newer version wrote must not be touched. */
const ledgerGraceMs = 1000;

export function createCrashloopDetector(ports: CrashloopDetectorPorts): Component {
  return new CrashloopDetector(ports);
}

class CrashloopDetector implements Component {
  readonly name = 'crashloop-detector';
  readonly #ports: CrashloopDetectorPorts;
  readonly #announcer: Announcer;
  readonly #backoff: ReturnType<typeof createBackoff>;
  readonly #stopping = new AbortController();
  readonly #resolver: Resolver;
  readonly #toldTwice = new ToldTwice();
  #subscribing: Promise<Subscription | undefined> | undefined;
  #isSubscribed = false;
  #resolving: Promise<void> | undefined;

  constructor(ports: CrashloopDetectorPorts) {
    this.#ports = ports;
    this.#announcer = new Announcer(ports);
    const { options, bus } = ports;
    this.#resolver = new Resolver({
      ...ports,
      options: { routingKey: options.resolvedRoutingKey, notify: options.notifyResolved },
      isConnected: () => this.#isSubscribed && bus.healthChecks.every(({ check }) => check().status === 'pass'),
    });
    this.#backoff = createBackoff({ minMs: ports.options.retryMinMs, maxMs: ports.options.retryMaxMs });
  }

  async start(signal: AbortSignal): Promise<void> {
    await this.#prepareLedger(signal);
    this.#subscribing ??= this.#subscribe();
    this.#resolving ??= this.#resolver.run(this.#stopping.signal);
    const waited = new AbortController();
    await Promise.race([
      this.#subscribing,
      this.#ports.clock.sleep(subscribeGraceMs, AbortSignal.any([signal, waited.signal])),
    ]);
    waited.abort();
  }

  /**
   * Rejects when a newer version wrote the ledger. One that is away says so at its first use: events wait meanwhile.
   */
  async #prepareLedger(signal: AbortSignal): Promise<void> {
    const waited = new AbortController();
    const limit = this.#ports.clock.sleep(ledgerGraceMs, AbortSignal.any([signal, waited.signal]));
    let isWaiting = true;
    const preparing = (async () => {
      while (isWaiting && !signal.aborted) {
        try {
          await this.#ports.ledger.prepare();
          return;
        } catch (error) {
          if (errorCode(error) === 'state-format-newer') throw error;
        }
        await this.#ports.clock.sleep(this.#backoff.next(), signal);
      }
    })();
    try {
      await Promise.race([preparing, limit]);
    } finally {
      isWaiting = false;
      waited.abort();
      this.#backoff.reset();
    }
    preparing.catch(() => undefined);
  }

  async stop(deadline: AbortSignal): Promise<void> {
    this.#stopping.abort();
    const subscription = await this.#subscribing;
    await subscription?.close(deadline);
    await this.#resolving;
  }

  /** Tries until it stands or the detector stops; while the broker is away the bus itself waits. */
  async #subscribe(): Promise<Subscription | undefined> {
    const { bus, clock, log, options } = this.#ports;
    const { queue: name, bindings, prefetch, maxHeldBytes } = options;
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      try {
        const subscription = await bus.subscribe(
          { name, bindings, prefetch, maxHeldBytes, consumer: this.name },
          (delivery) => this.#handle(delivery),
          signal,
        );
        this.#isSubscribed = true;
        return subscription;
      } catch (err) {
        if (signal.aborted) break;
        log.warn({ err, queue: name }, 'Subscription failed, will retry');
        await clock.sleep(this.#backoff.next(), signal);
      }
    }
    return undefined;
  }

  async #handle({ message }: Delivery): Promise<Settlement> {
    const { clock, options, outlook, telemetry } = this.#ports;
    outlook?.eventReceived(message.timestampMs);
    this.#resolver.messageReceived(message.timestampMs);
    let input;
    try {
      input = readObservations(message, options.groupBy, clock.now());
    } catch (error) {
      telemetry.eventRefused(error);
      return { action: 'dead-letter', reason: describeError(error) };
    }
    telemetry.eventReceived(input.kind);
    if (input.kind === 'foreign' || input.observations.length === 0) return { action: 'ack' };
    for (const odd of input.odd) telemetry.partIgnored(odd);
    if (input.kind === 'crash' && this.#toldTwice.isNews(message.type, input.observations))
      telemetry.crashesToldTwice(options.queue);
    try {
      // One after the other: with `DETECTOR_GROUP_BY=name` the tasks of an event share a loop, and so a claim.
      for (const observation of input.observations) await this.#detect(observation);
    } catch (error) {
      return this.#settleFailure(error);
    }
    this.#backoff.reset();
    telemetry.eventSettled();
    return { action: 'ack' };
  }

  async #detect(observation: Observation): Promise<void> {
    const { clock, ledger, options, telemetry } = this.#ports;
    const { rule, isMuted } = chooseRule(options, observation.place);
    if (isMuted) {
      if (showsCrash(observation)) telemetry.crashesMuted();
      return;
    }
    const began = clock.monotonic();
    const decision = await ledger.record(observation, rule);
    telemetry.decided(decision, (clock.monotonic() - began) / 1000);
    if (decision.clockBehindUs > 0) telemetry.clockBehind(observation.node, decision.clockBehindUs / 1_000_000);
    if (decision.action !== 'announce') return;
    await this.#announcer.announce(decision, {
      place: observation.place,
      rule,
      routingKey: options.alertRoutingKey,
      timestampMs: clock.now(),
    });
  }

  #settleFailure(error: unknown): Settlement {
    if (!isRetryable(error)) {
      this.#ports.telemetry.eventRefused(error);
      return { action: 'dead-letter', reason: describeError(error) };
    }
    this.#ports.telemetry.eventRetried(error);
    return { action: 'retry', afterMs: this.#backoff.next() };
  }
}
