/**
 * The port that every destination keeps (package sinks). Retry, batching, splitting, time limits and metrics are done
 * around it, once, by `delivery.ts`: a sink only shapes one request and sends it.
 */
import { HydrantError } from '../foundation/errors.ts';
import type { Message } from '../messages/message.ts';
import type { Logger } from '../runtime/telemetry/logger.ts';
import type { Schema, Values } from '../runtime/config/setting.ts';

export type Batch = readonly Message[];

export interface Sink {
  /** Called once before the first `write`. A throw is retried for ever, unless it is permanent. */
  connect(signal: AbortSignal): Promise<void>;
  /**
   * Resolves when the destination has taken every message of the batch. Otherwise throws what `permanent`, `retryable`
   * or `partial` make; any other error counts as retryable. Never called after `close`; at most `SINK_CONCURRENCY`
   * times at once (`maxConcurrency` where the sink says so). `signal` aborts at `SINK_TIMEOUT`: then it ends within a
   * second, by a `partial` where some messages were taken. Whoever cannot must bear the next call while the old one
   * still runs.
   */
  write(batch: Batch, signal: AbortSignal): Promise<void>;
  /** Resolves when a write would probably work. Imitates a send as far as that is possible without one. */
  healthcheck(signal: AbortSignal): Promise<void>;
  /** Ends connections. No `write` is under way. Safe to call twice. */
  close(): Promise<void>;
}

export interface SinkContext {
  readonly log: Logger;
  /** The sink's name (`SINK_NAME`). */
  readonly name: string;
}

export interface SinkDefinition<S extends Schema = Schema> {
  /** The value of `SINK_TYPE`. */
  readonly type: string;
  readonly aliases?: readonly string[];
  /** The sink's own settings, `SINK_<TYPE>_…`. */
  readonly settings: S;
  readonly defaults: {
    /** Most messages in a batch; null: no limit by count. */
    readonly batchEvents: number | null;
    /** Most encoded bytes in a batch. */
    readonly batchBytes: number;
    /** Longest time a message waits for its batch to fill. */
    readonly batchAgeMs: number;
    /** Bindings when `AMQP_BINDINGS` is not set; default `event.#`. */
    readonly bindings?: readonly string[];
  };
  readonly maxConcurrency?: number;
  /** Bytes the message adds to an encoded batch. Default: body length + 1. */
  encodedBytes?(message: Message, settings: Values<S>): number;
  /** Checks that concern several settings at once; returns the problems, each a sentence. */
  check?(settings: Values<S>): readonly string[];
  /** What no two sinks of a process may share, such as a file; told apart by this text. */
  owns?(settings: Values<S>): string;
  /** Pure: connects nothing. */
  create(settings: Values<S>, context: SinkContext): Sink;
}

/** The same batch will be refused again (4xx, too large, invalid). It is split until the culprit stands alone. */
export function permanent(message: string, cause?: unknown): HydrantError {
  return new HydrantError(message, { code: 'sink-permanent', retryable: false, cause });
}

export class SinkRetryableError extends HydrantError {
  /** The delay that the destination asked for, if it did. */
  readonly retryAfterMs: number | undefined;
  /** Whether it may be the fault of a message. */
  readonly isDoubtful: boolean;
  /** Whether it ended in the middle, which may be because the batch is too large. */
  readonly isBroken: boolean;

  constructor(
    message: string,
    {
      retryAfterMs,
      isDoubtful = false,
      isBroken = false,
      cause,
    }: {
      readonly retryAfterMs?: number | undefined;
      readonly isDoubtful?: boolean;
      readonly isBroken?: boolean;
      readonly cause?: unknown;
    } = {},
  ) {
    super(message, { code: 'sink-retryable', retryable: true, cause });
    this.retryAfterMs = retryAfterMs;
    this.isDoubtful = isDoubtful;
    this.isBroken = isBroken;
  }
}

/** It may work later; `retryAfterMs` is what the destination asked for (`Retry-After`). */
export function retryable(message: string, retryAfterMs?: number, cause?: unknown): SinkRetryableError {
  return new SinkRetryableError(message, { retryAfterMs, cause });
}

/**
 * It may work later, or never: the destination broke over what it was sent (5xx), and does not say whether by its own
 * fault. A message that alone fares so while others are taken is dead-lettered.
 */
export function doubtful(message: string): SinkRetryableError {
  return new SinkRetryableError(message, { isDoubtful: true });
}

/**
 * It may work later, or only in smaller batches: the connection ended, or the time, before there was an answer. So say
 * causes with a code such as `ECONNRESET` by themselves. No message becomes a dead letter for it.
 */
export function broken(message: string, cause?: unknown): SinkRetryableError {
  return new SinkRetryableError(message, { isBroken: true, cause });
}

export interface PartialFailure {
  /** Position in the batch. */
  readonly index: number;
  readonly reason: string;
  readonly retryable: boolean;
  /** Of one that is retryable: whether it may be the fault of a message, as `doubtful`. */
  readonly isDoubtful?: boolean;
}

export class SinkPartialError extends HydrantError {
  readonly failures: readonly PartialFailure[];
  /** The delay that the destination asked for, if it did. */
  readonly retryAfterMs: number | undefined;

  constructor(message: string, failures: readonly PartialFailure[], retryAfterMs?: number) {
    super(message, { code: 'sink-partial', retryable: true });
    this.failures = failures;
    this.retryAfterMs = retryAfterMs;
  }
}

/** Part of the batch was taken; `failures` names the rest, each with whether trying again may help. */
export function partial(message: string, failures: readonly PartialFailure[], retryAfterMs?: number): SinkPartialError {
  return new SinkPartialError(message, failures, retryAfterMs);
}
