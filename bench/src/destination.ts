/** The HTTP destination of the measurements, and the floor of everything that delivers to it. */
import { startChild, type Child } from './child.ts';
import { startLoad } from './load.ts';
import { secondsUntil, type Measurement } from './measure.ts';

export interface Receiver extends Child {
  readonly url: string;
  count(): Promise<number>;
}

export async function startReceiver(delayMs = 0): Promise<Receiver> {
  const child = startChild('bench/dist/receiver.js', [String(delayMs)]);
  const url = (await child.line((line) => line.startsWith('listens at '))).slice('listens at '.length);
  return { ...child, url, count: async () => Number(await (await fetch(url)).text()) };
}

/** Simulator → bare line-splitting forwarder → HTTP, batches of 500. */
export async function measureBareForwarder(events: number): Promise<Measurement> {
  const [load, receiver] = await Promise.all([startLoad(events), startReceiver()]);
  const forwarder = startChild('bench/dist/floors/bare-forwarder.js', [load.url, receiver.url, String(events)]);
  await forwarder.line((line) => line === 'ready');
  const startedAt = performance.now();
  await load.begin();
  const seconds = await secondsUntil(events, startedAt, () => receiver.count());
  await Promise.all([load.stop(), receiver.stop(), forwarder.stop()]);
  return { eventsPerSecond: events / seconds, peakMemory: {} };
}
