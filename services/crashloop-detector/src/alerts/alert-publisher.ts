/** The port through which alerts leave. */
import type { Message } from '@hydrant/shared/messages/message';

export interface AlertPublisher {
  /**
   * Resolves when the destination has taken responsibility for the alert; `unrouted` means that it has, but that nobody
   * will see it. Rejects otherwise; with `retryable: false` when it will never take it. May be called many times at
   * once.
   */
  publish(message: Message): Promise<'routed' | 'unrouted'>;
}
