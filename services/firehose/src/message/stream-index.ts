/**
 * The place in the stream that a message stands for; undefined when it was listed: that proves nothing about where the
 * stream is.
 */
import type { Message } from '@hydrant/shared/messages/message';

export function streamIndex({ headers: { index, origin } }: Message): number | undefined {
  return origin === 'stream' && typeof index === 'number' ? index : undefined;
}
