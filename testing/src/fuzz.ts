/**
 * Fuzzing that can be repeated: a generator of random numbers from a seed, and a loop with a budget. In `make test`
 * each fuzzer takes about a second; `make fuzz FOR=1m` gives it longer. The environment says how long and from which
 * seed on: `FUZZ_MS`, `FUZZ_SEED`.
 */

export interface Random {
  /** A whole number from 0 to `below - 1`. */
  below(below: number): number;
  /** True in one of `of` cases. */
  oneIn(of: number): boolean;
  pick<T>(values: readonly T[]): T;
  bytes(length: number): Buffer;
}

export interface FuzzTest {
  comment(text: string): void;
}

const defaultMs = 1000;
/** So that a slow round, or a very fast one, still says something. */
const minRounds = 20;
const maxRounds = 1_000_000;

/** The same numbers for the same seed, on every machine. */
export function createRandom(seed: number): Random {
  let state = seed >>> 0;
  // The generator known as mulberry32.
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (limit: number): number => Math.floor(next() * limit);
  return {
    below,
    oneIn: (of) => below(of) === 0,
    pick: <T>(values: readonly T[]): T => {
      if (values.length === 0) throw new Error('Expected something to pick from');
      return values[below(values.length)] as T;
    },
    bytes: (length) => Buffer.from(Array.from({ length }, () => below(256))),
  };
}

/**
 * Runs `round` again and again, each with a generator of its own, until the time is over. What a round throws is thrown
 * with its seed: `FUZZ_SEED=<seed>` begins with that round. Says in the end how many rounds there were.
 */
export async function fuzz(t: FuzzTest, round: (random: Random, seed: number) => unknown): Promise<void> {
  const budgetMs = Number(process.env['FUZZ_MS'] ?? defaultMs);
  const first = Number(process.env['FUZZ_SEED'] ?? 1);
  const endMs = performance.now() + budgetMs;
  let seed = first;
  for (let rounds = 0; rounds < minRounds || (performance.now() < endMs && rounds < maxRounds); rounds += 1) {
    try {
      await round(createRandom(seed), seed);
    } catch (cause) {
      // n.b. tap leaves out some messages that hold the signs of its own language.
      t.comment(`FUZZ_SEED=${String(seed)} repeats it`);
      throw new Error(
        `Round of seed ${String(seed)} failed; FUZZ_SEED=${String(seed)} repeats it: ${cause instanceof Error ? cause.message : String(cause)}`,
        { cause },
      );
    }
    seed += 1;
  }
  t.comment(`${String(seed - first)} rounds, seeds ${String(first)} to ${String(seed - 1)}`);
}
