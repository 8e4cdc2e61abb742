/** The consumer that empties the queue beside a measurement, as a child. */
import { startChild, type Child } from './child.ts';

export interface DrainState {
  /** Different events of the stream. */
  readonly distinct: number;
  /** Messages, repeats and snapshots among them. */
  readonly received: number;
}

export interface Drain extends Child {
  state(): Promise<DrainState>;
}

export async function startDrain(brokerUrl: string, queue: string): Promise<Drain> {
  const child = startChild('bench/dist/draining-consumer.js', [brokerUrl, queue]);
  const url = (await child.line((line) => line.startsWith('listens at '))).slice('listens at '.length);
  return { ...child, state: async () => (await (await fetch(url)).json()) as DrainState };
}
