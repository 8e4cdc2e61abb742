/** What an event that waits in a quorum queue costs the broker: disk and memory. */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { eventually } from '@hydrant/testing/eventually';
import { startPrivateRabbitMq, type PrivateRabbitMq } from '@hydrant/testing/private-rabbitmq';
import { startPrivateRedis } from '@hydrant/testing/private-redis';
import { bindQueue, fillQueues } from './broker.ts';
import { groupMemory } from './child.ts';
import type { Figure, FigureSource } from './measure.ts';

const events = 150_000;
const megabyte = 1_000_000;

/** Where the broker keeps its data. */
async function dataFolder(broker: PrivateRabbitMq): Promise<string> {
  return (await broker.ctl('eval', 'rabbit_mnesia:dir().')).trim().replaceAll('"', '');
}

/** Bytes that the files of a folder take. */
async function sizeOf(folder: string): Promise<number> {
  const blockBytes = 512;
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const blocks = await Promise.all(
    entries
      .filter((entry) => entry.isFile())
      .map(async (entry) => {
        // n.b. a file may be gone again, and one that is made ready for writing is larger than what is in it.
        const found = await stat(join(entry.parentPath, entry.name)).catch(() => undefined);
        return found?.blocks ?? 0;
      }),
  );
  return blocks.reduce((sum, each) => sum + each, 0) * blockBytes;
}

async function measure(): Promise<readonly Figure[]> {
  const [broker, redis] = await Promise.all([startPrivateRabbitMq({ exclusive: true }), startPrivateRedis()]);
  const queue = await bindQueue(broker.url, 'bench');
  const folder = await dataFolder(broker);
  const observe = (): Promise<readonly [number, number]> =>
    Promise.all([sizeOf(folder), groupMemory(broker.pid ?? NaN)]);
  const [diskBefore, memoryBefore] = await observe();
  await fillQueues(broker.url, redis.url, events);
  // RabbitMQ counts anew every five seconds.
  const messages = await eventually(
    async () => {
      const [, count] = (await broker.ctl('list_queues', '--no-table-headers', 'name', 'messages')).trim().split('\t');
      return Number(count) >= events ? Number(count) : undefined;
    },
    { timeoutMs: 30_000, message: `${String(events)} events in the queue` },
  );
  const [disk, memory] = await observe();
  await queue.remove();
  await Promise.all([broker.close(), redis.close()]);
  return [
    { name: 'in the queue', value: messages, unit: 'events', atLeast: events },
    { name: 'disk', value: (disk - diskBefore) / events, unit: 'bytes per event and replica' },
    { name: 'memory of the broker, empty', value: memoryBefore / megabyte, unit: 'MB' },
    { name: 'memory of the broker, full', value: memory / megabyte, unit: 'MB' },
  ];
}

export function createQueueCost(): FigureSource {
  return {
    name: 'queue-cost',
    what: `${events.toLocaleString('en-US')} events in one quorum queue with one replica, nobody consumes; disk by its blocks, memory resident`,
    measure,
  };
}
