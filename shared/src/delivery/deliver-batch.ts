/**
 * Brings one batch to its end: written, retried for as long as it may, split in halves when it is refused until the culprit stands alone.
 * Every item is settled exactly once.
 */
import type { Settlement } from '../bus/bus.ts';
import { createBackoff } from '../foundation/backoff.ts';
import type { Clock } from '../foundation/clock.ts';
import type { Message } from '../messages/message.ts';
import { judge, type Verdict } from './judge-failure.ts';
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
  /** Aborts when nothing is tried a second time any more: what fails then goes back to where it came from. */
  readonly stopping: AbortSignal;
  readonly telemetry: DeliverTelemetry;
}

export interface DeliverTelemetry {
  /** One try has ended; without a verdict it went well. */
  batchTried(batch: Batch, verdict: Verdict | undefined, seconds: number): void;
  messagesDelivered(messages: number, attempts: number): void;
  messageDeadLettered(id: string, reason: string): void;
  batchRetried(failure: { readonly reason: string; readonly attempts: number; readonly retryMs: number; readonly messages: number }): void;
  batchSplit(messages: number, reason: string): void;
}

/** `triedBefore`: how often these items were tried as part of a larger batch. */
export async function deliverBatch(items: readonly Item[], ports: DeliverPorts, triedBefore = 0): Promise<void> {
  const { retry, clock, stopping, telemetry } = ports;
  const backoff = createBackoff(retry);
  const startedAt = clock.monotonic();
  let rest = items;
  for (let attempts = triedBefore + 1; ; attempts += 1) {
    const verdict = await tryWrite(rest, ports);
    if (verdict === undefined) {
      telemetry.messagesDelivered(rest.length, attempts);
      for (const item of rest) item.settle({ action: 'ack' });
      return;
    }
    if (verdict.kind === 'refused') {
      await splitOrBury(rest, verdict.reason, attempts, ports);
      return;
    }
    if (verdict.kind === 'partial') {
      const tried = rest.length;
      rest = settlePartial(rest, verdict.failures, attempts, ports);
      if (rest.length === 0) return;
      if (rest.length < tried) backoff.reset();
    }
    if (retry.forMs > 0 && clock.monotonic() - startedAt >= retry.forMs) {
      for (const item of rest) bury(item, `Gave up after ${String(attempts)} attempts (SINK_RETRY_FOR): ${verdict.reason}`, attempts, ports);
      return;
    }
    if (!stopping.aborted) {
      const retryMs = Math.max(backoff.next(), verdict.afterMs ?? 0);
      telemetry.batchRetried({ reason: verdict.reason, attempts, retryMs, messages: rest.length });
      await clock.sleep(retryMs, stopping);
    }
    if (stopping.aborted) {
      for (const item of rest) item.settle({ action: 'retry', afterMs: 0 });
      return;
    }
  }
}

/** Undefined when every message was taken. */
async function tryWrite(items: readonly Item[], { write, clock, telemetry }: DeliverPorts): Promise<Verdict | undefined> {
  const batch = items.map((item) => item.message);
  const startedAt = clock.monotonic();
  let verdict: Verdict | undefined;
  try {
    await write(batch);
  } catch (error) {
    verdict = judge(error);
  }
  telemetry.batchTried(batch, verdict, (clock.monotonic() - startedAt) / 1000);
  return verdict;
}

/** One half after the other, so that the order is kept as far as it can be. */
async function splitOrBury(items: readonly Item[], reason: string, attempts: number, ports: DeliverPorts): Promise<void> {
  const [first] = items;
  if (items.length === 1 && first !== undefined) {
    bury(first, reason, attempts, ports);
    return;
  }
  ports.telemetry.batchSplit(items.length, reason);
  const middle = items.length >> 1;
  await deliverBatch(items.slice(0, middle), ports, attempts);
  await deliverBatch(items.slice(middle), ports, attempts);
}

/** Settles what was taken and what is refused for good; returns the rest. */
function settlePartial(items: readonly Item[], failures: readonly PartialFailure[], attempts: number, ports: DeliverPorts): readonly Item[] {
  const byIndex = new Map(failures.map((failure) => [failure.index, failure]));
  let taken = 0;
  const rest = items.filter((item, index) => {
    const failure = byIndex.get(index);
    if (failure?.retryable === true) return true;
    if (failure === undefined) {
      taken += 1;
      item.settle({ action: 'ack' });
    } else {
      bury(item, failure.reason, attempts, ports);
    }
    return false;
  });
  if (taken > 0) ports.telemetry.messagesDelivered(taken, attempts);
  return rest;
}

function bury(item: Item, reason: string, attempts: number, { telemetry }: DeliverPorts): void {
  telemetry.messageDeadLettered(item.message.id, reason);
  item.settle({ action: 'dead-letter', reason, attempts });
}
