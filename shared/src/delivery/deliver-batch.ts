/**
 * Brings one batch to its end: written, retried for as long as it may, split in halves when it is refused until the culprit stands alone.
 * Every item is settled exactly once.
 */
import type { Settlement } from '../bus/bus.ts';
import { createBackoff } from '../foundation/backoff.ts';
import type { Clock } from '../foundation/clock.ts';
import type { Message } from '../messages/message.ts';
import { judge } from './outcome.ts';
import type { Batch, PartialFailure } from './sink.ts';

export interface Item {
  readonly message: Message;
  settle(settlement: Settlement): void;
}

export interface RetryOptions {
  readonly minMs: number;
  readonly maxMs: number;
  /** After so long a batch that still fails is dead-lettered; 0: never. */
  readonly forMs: number;
}

export interface DeliverPorts {
  /** One try, with its time limit. */
  write(batch: Batch): Promise<void>;
  readonly retry: RetryOptions;
  readonly clock: Clock;
  /** Aborts when waiting is over: what is not delivered then goes back to where it came from. */
  readonly giveUp: AbortSignal;
  readonly telemetry: DeliverTelemetry;
}

export interface DeliverTelemetry {
  batchDelivered(messages: number, attempts: number): void;
  batchRetried(failure: { readonly reason: string; readonly attempts: number; readonly retryMs: number; readonly messages: number }): void;
  batchSplit(messages: number, reason: string): void;
}

export async function deliverBatch(items: readonly Item[], ports: DeliverPorts): Promise<void> {
  const { retry, clock, giveUp, telemetry } = ports;
  const backoff = createBackoff(retry);
  const startedAt = clock.monotonic();
  let rest = items;
  for (let attempts = 1; ; attempts += 1) {
    const failure = await tryWrite(rest, ports);
    if (failure === undefined) {
      telemetry.batchDelivered(rest.length, attempts);
      settleAll(rest, { action: 'ack' });
      return;
    }
    const verdict = judge(failure.error);
    if (verdict.kind === 'refused') {
      await splitOrBury(rest, verdict.reason, attempts, ports);
      return;
    }
    if (verdict.kind === 'partial') rest = settlePartial(rest, verdict.failures, attempts);
    if (rest.length === 0) return;
    const reason = verdict.kind === 'retry' ? verdict.reason : (verdict.failures.find((each) => each.retryable)?.reason ?? 'partly refused');
    if (retry.forMs > 0 && clock.monotonic() - startedAt >= retry.forMs) {
      settleAll(rest, { action: 'dead-letter', reason: `gave up after ${String(attempts)} attempts: ${reason}`, attempts });
      return;
    }
    const retryMs = Math.max(backoff.next(), verdict.kind === 'retry' ? (verdict.afterMs ?? 0) : 0);
    telemetry.batchRetried({ reason, attempts, retryMs, messages: rest.length });
    await clock.sleep(retryMs, giveUp);
    if (giveUp.aborted) {
      settleAll(rest, { action: 'retry', afterMs: 0 });
      return;
    }
  }
}

async function tryWrite(items: readonly Item[], { write }: DeliverPorts): Promise<{ readonly error: unknown } | undefined> {
  try {
    await write(items.map((item) => item.message));
    return undefined;
  } catch (error) {
    return { error };
  }
}

async function splitOrBury(items: readonly Item[], reason: string, attempts: number, ports: DeliverPorts): Promise<void> {
  if (items.length === 1) {
    settleAll(items, { action: 'dead-letter', reason, attempts });
    return;
  }
  ports.telemetry.batchSplit(items.length, reason);
  const middle = items.length >> 1;
  await deliverBatch(items.slice(0, middle), ports);
  await deliverBatch(items.slice(middle), ports);
}

/** Settles what was taken and what is refused for good; returns the rest. */
function settlePartial(items: readonly Item[], failures: readonly PartialFailure[], attempts: number): readonly Item[] {
  const byIndex = new Map(failures.map((failure) => [failure.index, failure]));
  return items.filter((item, index) => {
    const failure = byIndex.get(index);
    if (failure?.retryable === true) return true;
    item.settle(failure === undefined ? { action: 'ack' } : { action: 'dead-letter', reason: failure.reason, attempts });
    return false;
  });
}

function settleAll(items: readonly Item[], settlement: Settlement): void {
  for (const item of items) item.settle(settlement);
}
