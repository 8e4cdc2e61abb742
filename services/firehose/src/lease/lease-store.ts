/** The port that keeps the lease where all firehoses of a cluster see it. Adapter: Redis. */
export type LeaseReply =
  /**
   * Ours for the time asked for, counted from when the store did it. `token` is higher than that of any lease or
   * checkpoint before.
   */
  { readonly outcome: 'granted'; readonly token: string } | { readonly outcome: 'held'; readonly by: string };

export interface LeaseStore {
  /** Where it is kept, for logs: no secrets. */
  readonly description: string;
  /**
   * Takes the lease if nobody has it, prolongs it if `holder` has it. Rejects when nobody can say; it may have been
   * granted then. May be called many times at once.
   */
  take(holder: string, lastsMs: number): Promise<LeaseReply>;
  /** Gives it back if `holder` has it; otherwise does nothing. */
  release(holder: string): Promise<void>;
}
