/**
 * Anything with a beginning and an end. `runService` starts components in order and stops them in reverse.
 */
export interface Component {
  /** As it appears in logs and `/readyz`. */
  readonly name: string;
  /**
   * Returns soon: connections that may take long are made in the background and retried for ever, unless the setting
   * itself is wrong. `signal` aborts when the process is asked to stop while starting.
   */
  start(signal: AbortSignal): Promise<void>;
  /**
   * Takes no new work, settles what it holds, ends all background work, then resolves. Safe without `start` and when
   * called twice. When `deadline` aborts it gives up waiting and returns what it holds to where it came from.
   */
  stop(deadline: AbortSignal): Promise<void>;
}
