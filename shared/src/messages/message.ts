/**
 * What travels on the bus. The body is forwarded as it came; everything a consumer needs to route, dedupe and order
 * stands beside it.
 */
export type HeaderValue = string | number | boolean;

export interface Message {
  /**
   * Stable over repeats of the same event (`<cluster>/<Index>/<Topic>/<Namespace>/<Key>/<n>`), so consumers can drop
   * them.
   */
  readonly id: string;
  /** Dot-separated words, at most 255 bytes. A filter, not an identity. */
  readonly routingKey: string;
  /** `nomad.<Topic>.<Type>` for events, `crash-loop` and `crash-loop-resolved` for alerts. */
  readonly type: string;
  readonly contentType: string;
  /** The program that made it: `hydrant-firehose`, `hydrant-crashloop-detector`. */
  readonly appId: string;
  /** Wall clock of publishing, milliseconds since 1970. AMQP carries whole seconds. */
  readonly timestampMs: number;
  readonly headers: Readonly<Record<string, HeaderValue>>;
  readonly body: Buffer;
}
