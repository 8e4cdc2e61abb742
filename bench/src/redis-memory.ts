/** What Redis says of its own memory. */
import { Redis } from 'ioredis';

/** Bytes. */
export async function usedMemory(url: string): Promise<number> {
  const redis = new Redis(url);
  const info = await redis.info('memory');
  redis.disconnect();
  return Number(/^used_memory:(\d+)/mu.exec(info)?.[1] ?? NaN);
}
