/**
 * What the faults play on: a load that is counted, Hydrant in one of its shapes, a fault proxy before everything that
 * it talks to, and a destination that keeps nothing but the tally.
 */
import { readEventHead } from '@hydrant/shared/messages/nomad-event';
import type { Simulator } from '@hydrant/simulator/simulator';
import { startSimulator } from '@hydrant/simulator/simulator';
import { startFaultProxy, type FaultProxy } from '@hydrant/testing/fault-proxy';
import { startCollector, type Collector } from '../collector.ts';
import type { ServiceProcess } from '../service-process.ts';
import type { Shape } from '../shape.ts';
import { shapes, type ShapeName } from '../stage.ts';
import { EventTally } from './event-tally.ts';
import { mountSmallDisk, type SmallDisk } from '@hydrant/testing/small-disk';

export interface ChaosStage {
  readonly simulator: Simulator;
  readonly collector: Collector;
  readonly tally: EventTally;
  readonly shape: Shape;
  /** By the name of whom they lead to. */
  readonly links: ReadonlyMap<string, FaultProxy>;
  /** Of the spool; undefined where none can be mounted. */
  readonly disk: SmallDisk | undefined;
  /** Those of the shape, each under a name of its own. */
  readonly processes: ReadonlyMap<string, ServiceProcess>;
  close(): Promise<void>;
}

export interface ChaosStageOptions {
  readonly shapeName: ShapeName;
  readonly eventsPerSecond: number;
  /** Whether the firehose keeps its spool in a folder; standalone always does. */
  readonly spoolsToFolder: boolean;
}

/** Frames that Nomad has when nothing evicts them: longer than any fault lasts, and some hundred megabytes. */
const bufferSize = 20_000;
/**
 * So few that objects change again and again and lists stay short, so many that a gap has objects that nothing shows
 * but a list.
 */
const allocations = 4_000;
const crashPercent = 5;
const spool = { diskMebibytes: 64, maxBytes: '32MiB' };
const log = { diskMebibytes: 192, maxBytes: '128MiB' };
const sink = { SINK_BATCH_EVENTS: '100', SINK_TIMEOUT: '3s', SINK_RETRY_MIN: '50ms' };
/** One event of so many is poison while the destination refuses. */
const poisonOneIn = 100;

export function isPoison(event: Buffer): boolean {
  return readEventHead(event, 0, event.length).index % poisonOneIn === 0;
}

/** Nothing is started but the servers; the load is paused. */
export async function setChaosStage({
  shapeName,
  eventsPerSecond,
  spoolsToFolder,
}: ChaosStageOptions): Promise<ChaosStage> {
  const endings: (() => Promise<void>)[] = [];
  async function close(): Promise<void> {
    for (const end of endings.splice(0).reverse()) await end();
  }
  try {
    const tally = new EventTally(() => performance.now());
    const simulator = await startSimulator({
      load: { eventsPerSecond, allocations, crashPercent },
      paused: true,
      shiftToNow: true,
      bufferSize,
      lists: 'played',
      observer: observeFor(tally),
    });
    endings.push(() => simulator.close());
    const collector = await startCollector({
      take: (event) => {
        tally.noteArrived(event);
      },
    });
    endings.push(() => collector.close());
    const links = new Map<string, FaultProxy>();
    const link = async (name: string, targetPort: number): Promise<number> => {
      const proxy = await startFaultProxy({ targetPort });
      endings.push(() => proxy.close());
      links.set(name, proxy);
      return proxy.port;
    };
    const isStandalone = shapeName === 'standalone';
    const room = isStandalone ? log : spool;
    const disk = isStandalone || spoolsToFolder ? await mountSmallDisk(room.diskMebibytes) : undefined;
    if (disk !== undefined) endings.push(() => disk.close());
    const folder =
      disk === undefined ? {} : { [isStandalone ? 'DATA_DIR' : 'FIREHOSE_SPOOL_DIR']: `${disk.folder}/spool` };
    const shape = await shapes[shapeName]({
      nomadUrl: addressOf(await link('Nomad', simulator.port)),
      collectorUrl: addressOf(await link('destination', Number(new URL(collector.url).port))),
      route: link,
      firehose: { FIREHOSE_TOPICS: 'Allocation', FIREHOSE_SPOOL_MAX_BYTES: room.maxBytes, ...folder },
      sink,
    });
    endings.push(() => shape.close());
    return { simulator, collector, tally, shape, links, disk, processes: nameProcesses(shape.processes), close };
  } catch (error) {
    await close();
    throw error;
  }
}

export function observeFor(tally: EventTally): {
  frameMade(frame: LoadFrame): void;
  streamOpened(opened: { readonly index: number; readonly oldestIndex: number | undefined }): void;
} {
  return {
    frameMade({ index, line, events }) {
      for (const { key, start, end } of events) tally.noteMade(index, key, line.subarray(start, end));
    },
    streamOpened({ index, oldestIndex }) {
      tally.noteOpened(index, oldestIndex);
    },
  };
}

interface LoadFrame {
  readonly index: number;
  readonly line: Buffer;
  readonly events: readonly { readonly key: string; readonly start: number; readonly end: number }[];
}

function addressOf(port: number): string {
  return `http://127.0.0.1:${String(port)}`;
}

/** The second of a service is called `<service> 2`. */
export function nameProcesses(processes: readonly ServiceProcess[]): ReadonlyMap<string, ServiceProcess> {
  const named = new Map<string, ServiceProcess>();
  for (const process of processes) {
    const before = [...named.values()].filter(({ service }) => service === process.service).length;
    named.set(before === 0 ? process.service : `${process.service} ${String(before + 1)}`, process);
  }
  return named;
}
