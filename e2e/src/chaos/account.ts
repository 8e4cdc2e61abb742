/**
 * Names what became of every event. Pure.
 *
 * delivered: its own bytes have arrived · dead-lettered: it lies there · healed: Nomad no longer had it when the
 * firehose asked, and its state came from a list · superseded: Nomad no longer had it, and a newer state of its object
 * has arrived · unaccounted for: everything else. That is a loss.
 */
import type { MissedRange, TalliedEvent } from './event-tally.ts';

export interface Tally {
  events(): Iterable<TalliedEvent>;
  newestStateOf(object: number): number;
  readonly missed: readonly MissedRange[];
}

export interface Account {
  readonly delivered: number;
  readonly deadLettered: number;
  readonly healed: number;
  readonly superseded: number;
  readonly unaccounted: readonly UnaccountedEvent[];
}

export interface UnaccountedEvent {
  readonly index: number;
  readonly madeAtMs: number;
  readonly why: 'Nomad had it' | 'Nomad had it no longer, and no newer state of its object has arrived';
}

export function accountFor(tally: Tally): Account {
  const isMissed = createLookup(tally.missed);
  const counts = { delivered: 0, deadLettered: 0, healed: 0, superseded: 0 };
  const unaccounted: UnaccountedEvent[] = [];
  for (const event of tally.events()) {
    const { index, madeAtMs } = event;
    if (event.arrived) counts.delivered += 1;
    else if (event.deadLettered) counts.deadLettered += 1;
    else if (!isMissed(index)) unaccounted.push({ index, madeAtMs, why: 'Nomad had it' });
    else if (event.healed) counts.healed += 1;
    else if (tally.newestStateOf(event.object) > index) counts.superseded += 1;
    else
      unaccounted.push({
        index,
        madeAtMs,
        why: 'Nomad had it no longer, and no newer state of its object has arrived',
      });
  }
  return { ...counts, unaccounted };
}

/** The ranges, joined where they overlap, smallest first. */
export function joinRanges(ranges: readonly MissedRange[]): readonly MissedRange[] {
  const joined: MissedRange[] = [];
  for (const range of [...ranges].sort((left, right) => left.first - right.first)) {
    const before = joined.at(-1);
    if (before === undefined || range.first > before.last + 1) joined.push(range);
    else joined[joined.length - 1] = { ...before, last: Math.max(before.last, range.last) };
  }
  return joined;
}

/** For indexes that are asked for in rising order. */
function createLookup(ranges: readonly MissedRange[]): (index: number) => boolean {
  const joined = joinRanges(ranges);
  let at = 0;
  return (index) => {
    while ((joined[at]?.last ?? Infinity) < index) at += 1;
    return (joined[at]?.first ?? Infinity) <= index;
  };
}
