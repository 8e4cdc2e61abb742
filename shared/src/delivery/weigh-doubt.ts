/**
 * Whether what fails again and again is the destination, which is waited for, or a message that it chokes on, which
 * must not stop the others. Pure: `deliver-batch.ts` acts on it.
 *
 * Only what became of other batches meanwhile tells the two apart. Where nothing else was taken everything waits, so
 * that an outage makes no dead letters. A destination that fails by turns fails an innocent message several times in a
 * row too: how often that may happen by chance is reckoned with.
 *
 * A connection that ends in the middle says less: whoever resets those above a size takes the same messages in smaller
 * batches. A batch that fares so is split, and no message is dead-lettered for it.
 */

/** Tries of all batches since the start. */
export interface Tally {
  readonly taken: number;
  /** Without those of messages that were set aside: that these fail is known. */
  readonly failed: number;
}

export interface Doubt {
  /** The failures in a row are of one kind; of nothing else they say nothing. */
  readonly of: 'nothing' | 'doubtful' | 'broken';
  /** Such failures in a row. */
  readonly failures: number;
  /** Those between which the destination took others; where a message is in doubt, of one that stands alone. */
  readonly strikes: number;
  /** When the first strike was; of connections that broke, the first failure. */
  readonly sinceMs: number;
  /** The tally at the first failure; from the first strike on, at the failure before that. */
  readonly since: Tally;
  /** The tally at the last failure. */
  readonly last: Tally;
  /** Once set aside, a message takes nobody's place any more. */
  readonly isAside: boolean;
}

export interface DoubtfulFailure {
  /** Whether it may be the fault of a message: of a refused connection nobody doubts what it means. */
  readonly isDoubtful: boolean;
  /** Whether the connection or the time ended in the middle. */
  readonly isBroken?: boolean;
  /** Messages in the batch. */
  readonly messages: number;
  /** After this failure. */
  readonly tally: Tally;
  readonly nowMs: number;
}

/** `wait`: try the same again. `split`: look for the culprit. `set-aside`: let the others go first. */
export type DoubtStep = 'wait' | 'split' | 'set-aside' | 'dead-letter';

const nothing: Tally = { taken: 0, failed: 0 };
export const noDoubt: Doubt = {
  of: 'nothing',
  failures: 0,
  strikes: 0,
  sinceMs: 0,
  since: nothing,
  last: nothing,
  isAside: false,
};

const failuresUntilSplit = 3;
/** Until a batch whose connections break while others are taken is thought too large. */
const breaks = { strikes: 3, ms: 5000 };
/**
 * The same where nothing else shows whether the destination works: one batch at a time, or all of them too large. In an
 * outage it costs some small batches.
 */
const breaksAlone = { failures: 6, ms: 30_000 };
const leastStrikes = 5;
/** So rarely may a message be dead-lettered that only had bad luck. */
const mostChance = 1e-6;

interface Weighed {
  readonly doubt: Doubt;
  readonly step: DoubtStep;
}

/** `poisonAfterMs` is `SINK_POISON_AFTER`; 0: nobody is suspected. */
export function weighDoubt(earlier: Doubt, failure: DoubtfulFailure, poisonAfterMs: number): Weighed {
  const { messages, tally, nowMs } = failure;
  const { isAside } = earlier;
  if (failure.isBroken === true && !failure.isDoubtful)
    return weighBreak(earlier.of === 'broken' ? earlier : { ...noDoubt, isAside }, failure, poisonAfterMs);
  const before = earlier.of === 'doubtful' ? earlier : { ...noDoubt, isAside };
  if (poisonAfterMs === 0 || !failure.isDoubtful)
    return { doubt: { ...noDoubt, isAside }, step: isAside ? 'set-aside' : 'wait' };
  const failures = before.failures + 1;
  const since = failures === 1 ? tally : before.since;
  if (messages > 1)
    return {
      doubt: { ...noDoubt, of: 'doubtful', failures, since, last: tally },
      step: failures < failuresUntilSplit ? 'wait' : 'split',
    };
  if (failures > 1 && tally.taken > before.last.taken) {
    const start = before.strikes === 0 ? { sinceMs: nowMs, since: before.last } : { sinceMs: before.sinceMs, since };
    const doubt: Doubt = {
      of: 'doubtful',
      failures,
      strikes: before.strikes + 1,
      ...start,
      last: tally,
      isAside: true,
    };
    return { doubt, step: isPoison(doubt, nowMs, poisonAfterMs) ? 'dead-letter' : 'set-aside' };
  }
  const doubt: Doubt = {
    ...before,
    of: 'doubtful',
    failures,
    since,
    last: tally,
    isAside: isAside || tally.taken > since.taken,
  };
  return { doubt, step: doubt.isAside ? 'set-aside' : 'wait' };
}

function weighBreak(before: Doubt, { messages, tally, nowMs }: DoubtfulFailure, poisonAfterMs: number): Weighed {
  const isFirst = before.failures === 0;
  const failures = before.failures + 1;
  const strikes = before.strikes + (!isFirst && tally.taken > before.last.taken ? 1 : 0);
  const [sinceMs, since] = isFirst ? [nowMs, tally] : [before.sinceMs, before.since];
  // With one batch at a time nothing may go before it.
  const isAside = messages === 1 && (before.isAside || (poisonAfterMs > 0 && strikes > 0));
  const doubt: Doubt = { of: 'broken', failures, strikes, sinceMs, since, last: tally, isAside };
  if (messages === 1) return { doubt, step: isAside ? 'set-aside' : 'wait' };
  const isTooLarge =
    (strikes >= breaks.strikes && nowMs - sinceMs >= breaks.ms) ||
    (failures >= breaksAlone.failures && nowMs - sinceMs >= breaksAlone.ms);
  return { doubt, step: isTooLarge ? 'split' : 'wait' };
}

function isPoison({ strikes, sinceMs, since, last }: Doubt, nowMs: number, poisonAfterMs: number): boolean {
  if (strikes < leastStrikes || nowMs - sinceMs < poisonAfterMs) return false;
  const taken = last.taken - since.taken;
  const failed = last.failed - since.failed;
  return (failed / (taken + failed)) ** strikes < mostChance;
}
