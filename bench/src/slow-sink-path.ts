/**
 * A full quorum queue → sink-worker → an HTTP sink that takes 20 ms for each request, four at a time, against what that
 * sink can take: four bare clients that post the same bodies one after the other. With batches of 50 the sink is the
 * slowest part (10,000 events/s); with batches of 500 it would take more than any worker has, and the row is only for
 * reading.
 */
import { request } from 'undici';
import { startReceiver } from './destination.ts';
import type { Measurement, Path } from './measure.ts';
import { readRecordedEvents } from './recorded-events.ts';
import { measureSinkWorker } from './sink-worker-path.ts';

const events = 50_000;
const delayMs = 20;
const concurrency = 4;

async function measureFloor(batchEvents: number): Promise<Measurement> {
  const receiver = await startReceiver(delayMs);
  const bodies = await readRecordedEvents('Allocation');
  const body = `[${Array.from({ length: batchEvents }, (_, n) => bodies[n % bodies.length]?.toString('utf8') ?? '{}').join(',')}]`;
  let left = events / batchEvents;
  const post = async (): Promise<void> => {
    while (left > 0) {
      left -= 1;
      await (await request(receiver.url, { method: 'POST', body })).body.dump();
    }
  };
  const startedAt = performance.now();
  await Promise.all(Array.from({ length: concurrency }, post));
  const eventsPerSecond = events / ((performance.now() - startedAt) / 1000);
  await receiver.stop();
  return { eventsPerSecond, peakMemory: {} };
}

export function createSlowSinkPath(batchEvents: 50 | 500): Path {
  return {
    name: `slow-sink-${String(batchEvents)}`,
    target: batchEvents === 50 ? 0.9 : 0,
    floorName: '4 bare clients',
    measure: () =>
      measureSinkWorker(events, delayMs, {
        SINK_BATCH_EVENTS: String(batchEvents),
        SINK_CONCURRENCY: String(concurrency),
      }),
    measureFloor: () => measureFloor(batchEvents),
  };
}
