/** The port to the queues themselves, for those who clean up. */
export interface QueueState {
  readonly name: string;
  /** Those that wait; not those in the hand of a consumer. */
  readonly messages: number;
  readonly consumers: number;
  /** Id and time of publishing of the first message that waits, where nobody consumes. */
  readonly oldest: { readonly id: string; readonly publishedAtMs: number } | undefined;
}

export interface QueueAdmin {
  /** Undefined when there is no such queue. */
  inspect(name: string, signal: AbortSignal): Promise<QueueState | undefined>;
  /** With all that is in it. Harmless when there is no such queue. */
  remove(name: string, signal: AbortSignal): Promise<void>;
}
