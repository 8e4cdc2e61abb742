/**
 * The port between the stages. Two adapters keep it: AMQP (RabbitMQ) and in-process (a log on disk with a cursor per
 * subscription). One rule holds for both: `publish` resolves when responsibility has passed, and never before.
 */
import type { Component } from '../runtime/component.ts';
import type { HealthCheck } from '../runtime/admin/health.ts';
import type { Message } from '../messages/message.ts';

export interface PublishOptions {
  /** True: the result says whether any queue took the message. Default false: not looked at, result `routed`. */
  readonly mandatory?: boolean;
  /**
   * True: goes above the in-process log's bound instead of waiting for room. For what a handler publishes before it
   * settles: the log may be full because of that very handler, and the two would wait for each other. AMQP needs no
   * such thing and looks away.
   */
  readonly evenWhenFull?: boolean;
}

/** `unrouted`: confirmed, but no subscription's binding matched, so nobody will ever see it. */
export type PublishResult = 'routed' | 'unrouted';

/** What a handler wants done with a message. */
export type Settlement =
  | { readonly action: 'ack' }
  | { readonly action: 'retry'; readonly afterMs: number }
  | { readonly action: 'dead-letter'; readonly reason: string; readonly attempts?: number };

export interface Delivery {
  readonly message: Message;
  /** True when it may have been handed out before (to this process or another). */
  readonly redelivered: boolean;
  /** Monotonic clock at which the bus handed it to this process. */
  readonly receivedAtMs: number;
  /**
   * Aborted when the message has gone back to its queue by itself: it comes again, and what is done with this one is
   * done twice. Undefined: that cannot happen.
   */
  readonly lost?: AbortSignal;
}

/**
 * Called for each message, many at once (up to `prefetch`), in the order of the queue. A rejection counts as `retry`.
 * The message stays the bus's responsibility until the promise has settled and the settlement is done.
 */
export type Handler = (delivery: Delivery) => Promise<Settlement>;

export interface SubscriptionOptions {
  /** Queue (AMQP) or cursor (in-process) name, such as `hydrant.sink.http`. */
  readonly name: string;
  /** Topic patterns (`event.Allocation.#`); `*` is one word, `#` any number. */
  readonly bindings: readonly string[];
  /** Most messages handed out and not yet settled. */
  readonly prefetch: number;
  /** Most body bytes handed out and not yet settled; delivery pauses above it and goes on below half of it. */
  readonly maxHeldBytes: number;
  /** Written into the headers of a dead letter as `sink`. */
  readonly consumer: string;
}

export interface Subscription {
  /** Stops handing out messages. Resolves when none will come any more; those handed out may still settle. */
  pause(): Promise<void>;
  /**
   * As `pause`, and gives back what is handed out and not settled, in its order, when their handlers have ended; none
   * of them is called again. Whoever calls this makes the handlers end (by `retry`); what they settle before counts.
   * When `signal` aborts it waits no longer. `resume` goes on.
   */
  release(signal: AbortSignal): Promise<void>;
  /** Hands out messages again. */
  resume(): Promise<void>;
  /**
   * Pauses, waits for running handlers until `signal` aborts, returns the unsettled to the queue. Safe to call twice.
   */
  close(signal: AbortSignal): Promise<void>;
  /** Messages handed out and not settled. */
  readonly held: number;
}

export interface Bus extends Component {
  /**
   * Resolves when the message is safe: confirmed by the broker, or written to the log. Rejects with a HydrantError
   * (`bus-unavailable`, `bus-refused`: retryable; `bus-message-invalid`: permanent) otherwise; then it may or may not
   * have been stored. May be called many times at once; the order of calls is the order on the bus as long as none
   * rejects.
   */
  publish(message: Message, options?: PublishOptions): Promise<PublishResult>;
  /**
   * Makes the queue, its dead-letter queue and its bindings where they do not exist, then hands out messages for as
   * long as the bus runs, over reconnects. Resolves when the first consumer stands. Rejects when `signal` aborts
   * before.
   */
  subscribe(options: SubscriptionOptions, handler: Handler, signal: AbortSignal): Promise<Subscription>;
  /**
   * Whether there is a queue of that name, or a subscription in process. Rejects with `bus-unavailable` while nobody
   * can say.
   */
  hasQueue(name: string): Promise<boolean>;
  /** One check per connection, for `/readyz`. */
  readonly healthChecks: readonly HealthCheck[];
}
