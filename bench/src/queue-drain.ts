/** Sink-workers that empty a full queue into the local HTTP server. */
import type { Child } from './child.ts';
import { startReceiver } from './destination.ts';
import { rateOf } from './measure.ts';
import { freePort, startService } from './service.ts';

export interface QueueDrain {
  readonly brokerUrl: string;
  readonly queue: string;
  readonly events: number;
  readonly workers: number;
  /** How long the destination takes for each request. */
  readonly delayMs: number;
  readonly settings: Readonly<Record<string, string>>;
}

export interface DrainRun {
  readonly eventsPerSecond: number;
  /** Of all workers. */
  readonly cpuSeconds: number;
  /** Of the largest. */
  readonly peakMemory: number;
}

export async function drainQueue({
  brokerUrl,
  queue,
  events,
  workers,
  delayMs,
  settings,
}: QueueDrain): Promise<DrainRun> {
  const receiver = await startReceiver(delayMs);
  const start = async (): Promise<Child> =>
    startService('hydrant-sink-worker', await freePort(), {
      AMQP_CONNECTION: brokerUrl,
      AMQP_QUEUE: queue,
      SINK_TYPE: 'http',
      SINK_HTTP_ADDRESS: receiver.url,
      ...settings,
    });
  const starting = Array.from({ length: workers }, start);
  const eventsPerSecond = await rateOf(events, () => receiver.count());
  const running = await Promise.all(starting);
  const cpu = await Promise.all(running.map((worker) => worker.cpuSeconds()));
  const memory = await Promise.all(running.map((worker) => worker.peakMemory()));
  await Promise.all([...running.map((worker) => worker.stop()), receiver.stop()]);
  return { eventsPerSecond, cpuSeconds: cpu.reduce((sum, each) => sum + each, 0), peakMemory: Math.max(...memory) };
}

/** The queue as a sink-worker makes it, empty and bound to every event. */
export async function makeSinkQueue(brokerUrl: string, queue: string): Promise<void> {
  const worker = await startService('hydrant-sink-worker', await freePort(), {
    AMQP_CONNECTION: brokerUrl,
    AMQP_QUEUE: queue,
    SINK_TYPE: 'stdout',
  });
  await worker.stop();
}
