/**
 * Gives observed crashes their identities, and accounts for restarts that Nomad no longer showed.
 *
 * `TaskState.Restarts` numbers the restarts of a task in an allocation. What is accounted for is a range of numbers
 * without holes; restarts that lie between it and what is visible now happened, and count like the nearest visible one.
 * First sight proves only what is visible. A number below the range with a later time than any in it means that the
 * counter began anew: another epoch, with identities of its own. What has no number, such as the end of a task in its
 * allocation, is told apart by its time: a task whose allocation has failed may be run again, and fail again.
 */
import type { Observation, ObservedRestart, Recorded } from './ledger.ts';

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
  readonly timeNs: string;
  readonly detail: string;
  readonly ranUs: number | undefined;
  readonly kind: keyof Pick<Recorded, 'restarts' | 'hidden' | 'failures'>;
  /** Its number was not accounted for before, so that it cannot be known. */
  readonly isNew: boolean;
}

export interface Sighting {
  /** Those that the observation shows, in its order, then the hidden ones. */
  readonly found: readonly FoundCrash[];
  /** Identities of restarts that are proven to be requested. */
  readonly requested: readonly string[];
  readonly newlyRequested: number;
  /** What is accounted for now; null when no numbered restart was ever seen. */
  readonly range: NumberRange | null;
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

/** `no`: names the task in the identities. */
export function numberRestarts(
  { restarts, timed }: Pick<Observation, 'restarts' | 'timed'>,
  no: number,
  known: NumberRange | null,
  cap: number,
): Sighting {
  const unnumbered = timed.map(({ at, timeUs, timeNs, detail, ranUs, isFailure }): FoundCrash => ({
    id: `${no}@${at}`,
    timeUs,
    timeNs,
    detail,
    ranUs,
    kind: isFailure ? 'failures' : 'restarts',
    isNew: false,
  }));
  const first = restarts[0];
  const last = restarts.at(-1);
  if (first === undefined || last === undefined)
    return { found: unnumbered, requested: [], newlyRequested: 0, range: known };

  const numbering = account(restarts, first, last, known, cap);
  const idOf = (number: number): string =>
    numbering.epoch === 0 ? `${no}#${number}` : `${no}#${numbering.epoch}.${number}`;
  const like = ({ timeUs, timeNs, detail, kind }: ObservedRestart, numbers: readonly number[]): FoundCrash[] =>
    kind === 'crash'
      ? numbers.map((number) => ({
          id: idOf(number),
          timeUs,
          timeNs,
          detail,
          ranUs: undefined,
          kind: 'hidden',
          isNew: numbering.isNew(number),
        }))
      : [];
  const found: FoundCrash[] = [];
  const requested: string[] = [];
  let newlyRequested = 0;
  for (const { number, kind, timeUs, timeNs, detail, ranUs } of restarts) {
    if (kind === 'crash') {
      found.push({ id: idOf(number), timeUs, timeNs, detail, ranUs, kind: 'restarts', isNew: numbering.isNew(number) });
    } else {
      requested.push(idOf(number));
      if (numbering.isNew(number)) newlyRequested += 1;
    }
  }
  return {
    found: [...found, ...unnumbered, ...like(first, numbering.hiddenBefore), ...like(last, numbering.hiddenAfter)],
    requested,
    newlyRequested,
    range: numbering.range,
  };
}

function account(
  restarts: readonly ObservedRestart[],
  first: ObservedRestart,
  last: ObservedRestart,
  known: NumberRange | null,
  cap: number,
): Numbering {
  const newestUs = restarts.reduce((newest, { timeUs }) => Math.max(newest, timeUs), -1);
  if (known === null || (last.number < known.high && newestUs > known.newestUs)) {
    const epoch = known === null ? 0 : known.epoch + 1;
    const sinceUs = known === null ? -1 : first.timeUs;
    return {
      epoch,
      range: { epoch, low: first.number, high: last.number, newestUs, sinceUs },
      hiddenBefore: [],
      hiddenAfter: [],
      isNew: () => true,
    };
  }
  // What the epoch before left to account for is not known any more.
  if (newestUs < known.sinceUs)
    return { epoch: known.epoch - 1, range: known, hiddenBefore: [], hiddenAfter: [], isNew: () => false };
  const { epoch, low, high, sinceUs } = known;
  return {
    epoch,
    range: {
      epoch,
      low: Math.min(low, first.number),
      high: Math.max(high, last.number),
      newestUs: Math.max(known.newestUs, newestUs),
      sinceUs,
    },
    hiddenBefore: numbers(Math.max(high + 1, first.number - cap), first.number - 1),
    hiddenAfter: numbers(last.number + 1, Math.min(low - 1, last.number + cap)),
    isNew: (number) => number < low || number > high,
  };
}

function numbers(from: number, to: number): number[] {
  return to < from ? [] : Array.from({ length: to - from + 1 }, (_, index) => from + index);
}
