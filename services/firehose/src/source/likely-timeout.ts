/**
 * Streams that end after the same time each time are ended by a clock, not by Nomad: most likely that of a proxy in
 * between. Pure.
 */
export interface StreamEnd {
  /** From Nomad's answer to the end. */
  readonly openMs: number;
  /** From the last byte to the end. */
  readonly quietMs: number;
}

export interface LikelyTimeout {
  /** `idle`: of a connection on which nothing is sent; `age`: of every connection. */
  readonly kind: 'idle' | 'age';
  readonly seconds: number;
}

/** So many ends in a row have to agree. */
const ends = 3;
const shortestMs = 1_000;
const toleranceMs = 500;
const toleranceShare = 0.02;

function agree(times: readonly number[]): number | undefined {
  const [first] = times;
  if (first === undefined || times.length < ends || first < shortestMs) return undefined;
  const tolerance = Math.max(toleranceMs, first * toleranceShare);
  return times.every((time) => Math.abs(time - first) <= tolerance) ? Math.round(first / 1000) : undefined;
}

export class TimeoutGuess {
  #ends: readonly StreamEnd[] = [];
  #guessed: LikelyTimeout | undefined;

  /** A stream ended that we did not close. Returns what is likely when that is news. */
  ended(end: StreamEnd): LikelyTimeout | undefined {
    this.#ends = [...this.#ends, end].slice(-ends);
    const idle = agree(this.#ends.map(({ quietMs }) => quietMs));
    const age = agree(this.#ends.map(({ openMs }) => openMs));
    const guess: LikelyTimeout | undefined =
      idle !== undefined
        ? { kind: 'idle', seconds: idle }
        : age !== undefined
          ? { kind: 'age', seconds: age }
          : undefined;
    if (guess === undefined || (guess.kind === this.#guessed?.kind && guess.seconds === this.#guessed.seconds))
      return undefined;
    this.#guessed = guess;
    return guess;
  }
}
