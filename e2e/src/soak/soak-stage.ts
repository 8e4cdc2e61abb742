/**
 * What is soaked: a steady load, Hydrant in one of its shapes with its defaults, and a destination that notes how long
 * each event took.
 */
import { startSimulator, type Simulator } from '@hydrant/simulator/simulator';
import { connect } from 'amqplib';
import { nameProcesses, observeFor } from '../chaos/chaos-stage.ts';
import type { RunOptions } from '../chaos/command-line.ts';
import { EventTally } from '../chaos/event-tally.ts';
import { startCollector } from '../collector.ts';
import { keepLogs } from '../keep-logs.ts';
import { shapes } from '../stage.ts';
import type { SamplePorts } from './sample.ts';

export interface SoakStage extends SamplePorts {
  readonly simulator: Simulator;
  readonly tally: EventTally;
}

const allocations = 10_000;
const crashPercent = 1;
/** Frames that Nomad has: ten seconds of the usual rate. */
const bufferSize = 20_000;

/** Everything runs but the load. What has to be ended is given to `onEnd`, the last first. Logs go into `folder`. */
export async function setSoakStage(
  { eventsPerSecond, shapeName }: RunOptions,
  folder: string,
  onEnd: (end: () => Promise<unknown>) => void,
): Promise<SoakStage> {
  const tally = new EventTally(() => performance.now());
  let latencies: number[] = [];
  const simulator = await startSimulator({
    load: { eventsPerSecond, allocations, crashPercent },
    paused: true,
    shiftToNow: true,
    bufferSize,
    writes: 'joined',
    observer: observeFor(tally),
  });
  onEnd(() => simulator.close());
  const collector = await startCollector({
    take(event) {
      const latency = tally.noteArrived(event);
      if (latency !== undefined) latencies.push(latency);
    },
  });
  onEnd(() => collector.close());
  const shape = await shapes[shapeName]({
    nomadUrl: simulator.url,
    collectorUrl: collector.url,
    firehose: { FIREHOSE_TOPICS: 'Allocation' },
  });
  onEnd(() => shape.close());
  const processes = nameProcesses(shape.processes);
  const keeper = keepLogs(processes, folder);
  onEnd(() => keeper.close());
  await shape.start();
  const connection = shape.brokerUrl === undefined ? undefined : await connect(shape.brokerUrl);
  if (connection !== undefined) onEnd(() => connection.close());
  return {
    simulator,
    tally,
    processes,
    channel: await connection?.createChannel(),
    takeLatencies() {
      const taken = latencies;
      latencies = [];
      return taken;
    },
  };
}
