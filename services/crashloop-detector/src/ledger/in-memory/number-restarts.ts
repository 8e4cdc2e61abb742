/**
 * Gives observed crashes their identities, and accounts for restarts that Nomad no longer showed.
 *
 * `TaskState.Restarts` numbers the restarts of a task in an allocation. What is accounted for is a range of numbers without holes; restarts
 * that lie between it and what is visible now happened, and count like the nearest visible one. First sight proves only what is visible.
 * A number below the range with a later time than any in it means that the counter began anew: another epoch, with identities of its own.
 */
import type { Observation, ObservedRestart, Recorded } from '../ledger.ts';

export interface NumberRange {
  readonly epoch: number;
  readonly low: number;
  readonly high: number;
  /** Latest time of a restart in the epoch. */
  readonly newestUs: number;
  /** Time of the first restart seen in the epoch; what is older belongs to the epoch before. */
  readonly sinceUs: number;
}

export interface FoundCrash {
  readonly id: string;
  readonly timeUs: number;
  readonly detail: string;
  readonly kind: keyof Pick<Recorded, 'restarts' | 'hidden' | 'failures'>;
}

export interface Sighting {
  readonly found: readonly FoundCrash[];
  /** Identities of restarts that are proven to be requested. */
  readonly requested: readonly string[];
  readonly newlyRequested: number;
  /** What is accounted for now; undefined when the observation has no numbered restart. */
  readonly range: NumberRange | undefined;
}

interface Numbering {
  readonly epoch: number;
  readonly range: NumberRange;
  /** Restarts of these numbers are taken like the first visible one, and like the last. */
  readonly hiddenBefore: readonly number[];
  readonly hiddenAfter: readonly number[];
  /** Whether the number was not accounted for before. */
  isNew(number: number): boolean;
}

export function numberRestarts({ allocation, task, restarts, timed, failure }: Observation, known: NumberRange | undefined, cap: number): Sighting {
  const identity = `${allocation}/${task}#`;
  const unnumbered = timed.map(({ at, timeUs, detail, isFailure }): FoundCrash => ({ id: `${allocation}/${task}@${at}`, timeUs, detail, kind: isFailure ? 'failures' : 'restarts' }));
  if (failure !== null) unnumbered.push({ id: `${identity}failed`, timeUs: failure.timeUs, detail: failure.detail, kind: 'failures' });
  const first = restarts[0];
  const last = restarts.at(-1);
  if (first === undefined || last === undefined) return { found: unnumbered, requested: [], newlyRequested: 0, range: known };

  const numbering = account(restarts, first, last, known, cap);
  const idOf = (number: number): string => numbering.epoch === 0 ? `${identity}${number}` : `${identity}${numbering.epoch}.${number}`;
  const like = ({ timeUs, detail, kind }: ObservedRestart, numbers: readonly number[]): FoundCrash[] =>
    kind === 'crash' ? numbers.map((number) => ({ id: idOf(number), timeUs, detail, kind: 'hidden' })) : [];
  const found = [...like(first, numbering.hiddenBefore), ...like(last, numbering.hiddenAfter)];
  const requested: string[] = [];
  let newlyRequested = 0;
  for (const { number, kind, timeUs, detail } of restarts) {
    if (kind === 'crash') {
      found.push({ id: idOf(number), timeUs, detail, kind: 'restarts' });
    } else {
      requested.push(idOf(number));
      if (numbering.isNew(number)) newlyRequested += 1;
    }
  }
  return { found: [...found, ...unnumbered], requested, newlyRequested, range: numbering.range };
}

function account(restarts: readonly ObservedRestart[], first: ObservedRestart, last: ObservedRestart, known: NumberRange | undefined, cap: number): Numbering {
  const newestUs = restarts.reduce((newest, { timeUs }) => Math.max(newest, timeUs), -1);
  if (known === undefined || (last.number < known.high && newestUs > known.newestUs)) {
    const epoch = known === undefined ? 0 : known.epoch + 1;
    const sinceUs = known === undefined ? -1 : first.timeUs;
    return { epoch, range: { epoch, low: first.number, high: last.number, newestUs, sinceUs }, hiddenBefore: [], hiddenAfter: [], isNew: () => true };
  }
  // What the epoch before left to account for is not known any more.
  if (newestUs < known.sinceUs) return { epoch: known.epoch - 1, range: known, hiddenBefore: [], hiddenAfter: [], isNew: () => false };
  const { epoch, low, high, sinceUs } = known;
  return {
    epoch,
    range: { epoch, low: Math.min(low, first.number), high: Math.max(high, last.number), newestUs: Math.max(known.newestUs, newestUs), sinceUs },
    hiddenBefore: numbers(Math.max(high + 1, first.number - cap), first.number - 1),
    hiddenAfter: numbers(last.number + 1, Math.min(low - 1, last.number + cap)),
    isNew: (number) => number < low || number > high,
  };
}

function numbers(from: number, to: number): number[] {
  return to < from ? [] : Array.from({ length: to - from + 1 }, (_, index) => from + index);
}
