/** Times of messages as text. */

const latestMs = Date.UTC(9999, 11, 31);

/**
 * ISO 8601 in UTC; a time that nobody can have meant (another program's message may carry any number) reads as none.
 */
export function isoTime(timestampMs: number): string | undefined {
  return timestampMs > 0 && timestampMs < latestMs ? new Date(timestampMs).toISOString() : undefined;
}
