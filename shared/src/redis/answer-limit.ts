/**
 * Cuts a connection to Redis whose answer grows beyond a bound: the client would hold all of it in memory, up to 512
 * MiB.
 */
import type { Redis } from 'ioredis';

/** Far above any answer that Hydrant asks for. */
export const maxAnswerBytes = 64 * 1024 * 1024;

/**
 * Calls `onExceeded` before it cuts. Returns what has to be called when a command was answered: counting begins anew.
 */
export function limitAnswers(redis: Redis, onExceeded: () => void): () => void {
  let bytes = 0;
  redis.on('connect', () => {
    const { stream } = redis;
    bytes = 0;
    stream.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes <= maxAnswerBytes || stream.destroyed) return;
      onExceeded();
      stream.destroy();
    });
  });
  return () => {
    bytes = 0;
  };
}
