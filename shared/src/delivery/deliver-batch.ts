/**
 * Brings one batch to its end: written, retried for as long as it may, split in halves until the culprit stands alone
 * when it is refused, or when the destination breaks over it, or when it may be too large. Every item is settled
 * exactly once, or set aside.
 */
import type { Settlement } from '../bus/bus.ts';
import { createBackoff, type Backoff } from '../foundation/backoff.ts';
import type { Clock } from '../foundation/clock.ts';
import type { Message } from '../messages/message.ts';
import { judge, type Verdict } from './judge-failure.ts';
import type { Batch, PartialFailure } from './sink.ts';
import { noDoubt, weighDoubt, type Doubt, type Tally } from './weigh-doubt.ts';

export interface Item {
  readonly message: Message;
  /** As the bus's delivery has it. */
  readonly lost?: AbortSignal | undefined;
  settle(settlement: Settlement): void;
}

export interface RetryOptions {
  readonly minMs: number;
  readonly maxMs: number;
  /** After so long a batch that still fails is dead-lettered; 0: never. */
  readonly forMs: number;
}

/** What went before: with a larger batch, or before the message was set aside. */
export interface History {
  readonly attempts: number;
  readonly startedAtMs: number;
  readonly backoff: Backoff;
  readonly doubt: Doubt;
}

export interface DeliverPorts {
  /** One try, with its time limit. */
  write(batch: Batch): Promise<void>;
  /** Tries of all batches so far. */
  tally(): Tally;
  /** Has the item delivered anew after a while, with this history; what comes behind it goes first. */
  setAside(item: Item, history: History, afterMs: number): void;
  /** After so long a message that fails alone while others are taken is dead-lettered; 0: never. */
  readonly poisonAfterMs: number;
  readonly retry: RetryOptions;
  readonly clock: Clock;
  /** Aborts when nothing is tried a second time any more: what fails then goes back to where it came from. */
  readonly stopping: AbortSignal;
  readonly telemetry: DeliverTelemetry;
}

export interface DeliverTelemetry {
  /** One try has ended; without a verdict it went well. */
  batchTried(batch: Batch, verdict: Verdict | undefined, seconds: number, isAside: boolean): void;
  messagesDelivered(messages: number, attempts: number): void;
  messageDeadLettered(id: string, reason: string): void;
  batchRetried(failure: {
    readonly reason: string;
    readonly attempts: number;
    readonly retryMs: number;
    readonly messages: number;
  }): void;
  batchSplit(messages: number, reason: string): void;
}

/** What has gone back to its queue comes again: to write it would be to write it twice. */
export function isLost({ lost }: Item): boolean {
  return lost?.aborted === true;
}

export async function deliverBatch(
  items: readonly Item[],
  ports: DeliverPorts,
  history: History = begin(ports),
): Promise<void> {
  const { retry, clock, stopping, telemetry } = ports;
  const { startedAtMs, backoff } = history;
  let { attempts, doubt } = history;
  let rest = items;
  for (;;) {
    rest = releaseLost(rest);
    if (rest.length === 0) return;
    attempts += 1;
    const verdict = await tryWrite(rest, doubt.isAside, ports);
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
      if (rest.length < tried) {
        backoff.reset();
        doubt = noDoubt;
      }
    }
    if (retry.forMs > 0 && clock.monotonic() - startedAtMs >= retry.forMs) {
      for (const item of rest)
        bury(item, `Gave up after ${String(attempts)} attempts (SINK_RETRY_FOR): ${verdict.reason}`, attempts, ports);
      return;
    }
    if (!stopping.aborted) {
      const failure = {
        isDoubtful: verdict.isDoubtful,
        isBroken: verdict.kind === 'retry' && verdict.isBroken === true,
        messages: rest.length,
        tally: ports.tally(),
        nowMs: clock.monotonic(),
      };
      const weighed = weighDoubt(doubt, failure, ports.poisonAfterMs);
      const retryMs = Math.max(backoff.next(), verdict.afterMs ?? 0);
      // Once it is set aside its pauses are its own, not those of the batch that it was part of.
      const isLeaving = weighed.doubt.isAside && !doubt.isAside;
      doubt = weighed.doubt;
      const now = { attempts, startedAtMs, backoff: isLeaving ? createBackoff(retry) : backoff, doubt };
      if (weighed.step === 'dead-letter' || weighed.step === 'set-aside') {
        isolate(rest, weighed.step, verdict.reason, retryMs, now, ports);
        return;
      }
      telemetry.batchRetried({ reason: verdict.reason, attempts, retryMs, messages: rest.length });
      await clock.sleep(retryMs, stopping);
      if (weighed.step === 'split') {
        await split(rest, verdict.reason, now, ports);
        return;
      }
    }
    if (stopping.aborted) {
      for (const item of rest) item.settle({ action: 'retry', afterMs: 0 });
      return;
    }
  }
}

function begin({ retry, clock }: DeliverPorts): History {
  return { attempts: 0, startedAtMs: clock.monotonic(), backoff: createBackoff(retry), doubt: noDoubt };
}

/** Settles what is lost, for whoever waits for it; returns the rest. */
function releaseLost(items: readonly Item[]): readonly Item[] {
  if (!items.some(isLost)) return items;
  for (const item of items.filter(isLost)) item.settle({ action: 'retry', afterMs: 0 });
  return items.filter((item) => !isLost(item));
}

/** Undefined when every message was taken. */
async function tryWrite(
  items: readonly Item[],
  isAside: boolean,
  { write, clock, telemetry }: DeliverPorts,
): Promise<Verdict | undefined> {
  const batch = items.map((item) => item.message);
  const startedAt = clock.monotonic();
  let verdict: Verdict | undefined;
  try {
    await write(batch);
  } catch (error) {
    verdict = judge(error);
  }
  telemetry.batchTried(batch, verdict, (clock.monotonic() - startedAt) / 1000, isAside);
  return verdict;
}

async function splitOrBury(
  items: readonly Item[],
  reason: string,
  attempts: number,
  ports: DeliverPorts,
): Promise<void> {
  const [first] = items;
  if (items.length === 1 && first !== undefined) bury(first, reason, attempts, ports);
  else await split(items, reason, { ...begin(ports), attempts }, ports);
}

/** One half after the other, so that the order is kept as far as it can be. */
async function split(items: readonly Item[], reason: string, history: History, ports: DeliverPorts): Promise<void> {
  ports.telemetry.batchSplit(items.length, reason);
  const middle = items.length >> 1;
  await deliverBatch(items.slice(0, middle), ports, history);
  await deliverBatch(items.slice(middle), ports, history);
}

/** Of a message that fails alone while others are taken. */
function isolate(
  [item]: readonly Item[],
  step: 'set-aside' | 'dead-letter',
  reason: string,
  retryMs: number,
  history: History,
  ports: DeliverPorts,
): void {
  if (item === undefined) return;
  const {
    attempts,
    doubt: { strikes },
  } = history;
  if (step === 'dead-letter') {
    bury(
      item,
      `Failed ${String(strikes)} times in a row while other messages were taken (SINK_POISON_AFTER): ${reason}`,
      attempts,
      ports,
    );
    return;
  }
  ports.telemetry.batchRetried({ reason, attempts, retryMs, messages: 1 });
  ports.setAside(item, history, retryMs);
}

/** Settles what was taken and what is refused for good; returns the rest. */
function settlePartial(
  items: readonly Item[],
  failures: readonly PartialFailure[],
  attempts: number,
  ports: DeliverPorts,
): readonly Item[] {
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
