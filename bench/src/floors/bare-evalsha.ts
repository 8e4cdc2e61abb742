/**
 * Floor of the detector: what one crash costs Redis at least. ioredis with a window of 1000, one EVALSHA for each
 * crash, whose script adds it to the sorted set of its allocation and counts. No queue, no parsing, no decision.
 * Arguments: Redis URL, number of crashes, number of allocations. Prints crashes per second.
 */
import { Redis } from 'ioredis';

const [url, count, of] = process.argv.slice(2);
if (url === undefined || count === undefined || of === undefined)
  throw new Error('Expected three arguments: a Redis URL, a number of crashes and a number of allocations');
const [total, allocations] = [Number(count), Number(of)];
const window = 1000;
const redis = new Redis(url);
const sha = String(
  await redis.script('LOAD', "redis.call('ZADD', KEYS[1], ARGV[1], ARGV[2]) return redis.call('ZCARD', KEYS[1])"),
);
let sent = 0;
let answered = 0;
const startedAt = performance.now();
await new Promise<void>((resolve, reject) => {
  const send = (): void => {
    while (sent < total && sent - answered < window) {
      const [allocation, number] = [sent % allocations, Math.floor(sent / allocations)];
      sent += 1;
      redis
        .evalsha(
          sha,
          1,
          `bare:${String(allocation)}`,
          number * 3_000_000,
          `${String(allocation)}/task#${String(number)}`,
        )
        .then(() => {
          answered += 1;
          if (answered === total) resolve();
          else send();
        }, reject);
    }
  };
  send();
});
process.stdout.write(`${String(total / ((performance.now() - startedAt) / 1000))}\n`);
redis.disconnect();
