/**
 * What is looked at every few seconds: memory and open handles of each process by /proc, how long deliveries took, how
 * much is on its way.
 */
import { readdir, readFile } from 'node:fs/promises';
import type { Channel } from 'amqplib';
import type { EventTally } from '../chaos/event-tally.ts';
import type { ServiceProcess } from '../service-process.ts';

export interface SoakSample {
  readonly seconds: number;
  readonly made: number;
  readonly arrived: number;
  /** By series, such as `memory firehose`. */
  readonly values: Readonly<Record<string, number>>;
}

export interface SamplePorts {
  readonly processes: ReadonlyMap<string, ServiceProcess>;
  readonly tally: Pick<EventTally, 'made' | 'arrived'>;
  /** Undefined where there are no queues. */
  readonly channel: Channel | undefined;
  /** Takes the milliseconds of the deliveries since the last sample. */
  readonly takeLatencies: () => readonly number[];
}

const mebibyte = 1024 * 1024;
const queues = ['hydrant.sink.http', 'hydrant.crashloop-detector'];

export async function takeSample(
  seconds: number,
  { processes, tally, channel, takeLatencies }: SamplePorts,
): Promise<SoakSample> {
  const values: Record<string, number> = {};
  for (const [name, { pid }] of processes) {
    values[`memory ${name}`] = (await readResidentBytes(pid)) / mebibyte;
    values[`handles ${name}`] = (await readdir(`/proc/${String(pid)}/fd`)).length;
  }
  const latencies = [...takeLatencies()].sort((left, right) => left - right);
  if (latencies.length > 0) {
    values['latency p50'] = quantile(latencies, 0.5);
    values['latency p99'] = quantile(latencies, 0.99);
  }
  const { made, arrived } = tally;
  values['on their way'] = made - arrived;
  for (const queue of channel === undefined ? [] : queues)
    values[`queue ${queue}`] = (await channel?.checkQueue(queue))?.messageCount ?? NaN;
  return { seconds, made, arrived, values };
}

async function readResidentBytes(pid: number | undefined): Promise<number> {
  const status = await readFile(`/proc/${String(pid)}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB$/mu.exec(status)?.[1]) * 1024;
}

/** Of values in rising order. */
function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? NaN;
}
