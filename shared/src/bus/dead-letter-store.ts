/**
 * The port to the dead letters of one subscription, for those who look after them. The subscription itself only adds to
 * them.
 */
import type { DeadLetter } from './dead-letters.ts';

/** `replay`: back to the subscription it comes from, and to no other. */
export type DeadLetterVerdict = 'keep' | 'replay' | 'drop';

export interface SweepResult {
  readonly replayed: number;
  readonly dropped: number;
}

export interface DeadLetterStore {
  /**
   * Shows all the dead letters that lie there at the beginning, oldest first, and does what `decide` says. Resolves
   * when all of it is done, or when `signal` has aborted and nothing is under way. A replayed letter goes when its
   * subscription has it for certain; so whenever the process dies, or the call rejects, a letter may be replayed twice
   * and none is lost. Those that are kept stay in their order unless the sweep breaks off. One call at a time.
   */
  sweep(decide: (letter: DeadLetter) => DeadLetterVerdict, signal: AbortSignal): Promise<SweepResult>;
}
