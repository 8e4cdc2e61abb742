/**
 * Everything that a guarantee plays on: the simulator with the recording, the collector, an S3 server if asked for, and
 * Hydrant in one of its shapes.
 */
import { eventually } from '@hydrant/testing/eventually';
import type { SimulatorOptions } from '@hydrant/simulator/options';
import { startSimulator, type Simulator } from '@hydrant/simulator/simulator';
import { startRabbitMqCluster, startRedisWithSentinels } from './clusters.ts';
import { startCollector, type Collector } from './collector.ts';
import { readEventHashes } from './event-hashes.ts';
import { startS3Server, type S3Server } from './s3-server.ts';
import { startServices } from './services-shape.ts';
import type { Shape, ShapeOptions } from './shape.ts';
import { startStandalone } from './standalone-shape.ts';

export const shapes = {
  'three services': startServices,
  'three services on clusters': startServicesOnClusters,
  standalone: startStandalone,
} as const;
export type ShapeName = keyof typeof shapes;
export type StartShape = (options: ShapeOptions) => Promise<Shape>;
/** Those that every guarantee is played on. */
export const shapeNames: readonly ShapeName[] = ['three services', 'standalone'];

export interface StageOptions {
  readonly withS3?: boolean;
  /** How fast the recording (72 s) is played; default 15. */
  readonly speed?: number;
  /** Whether the times of the recording are moved to now; default false. */
  readonly shiftToNow?: boolean;
  /** Instead of the recording: events made from it until `endLoad`. */
  readonly load?: SimulatorOptions['load'];
  readonly lists?: SimulatorOptions['lists'];
  readonly firehose?: ShapeOptions['firehose'];
  readonly secondFirehose?: ShapeOptions['secondFirehose'];
  readonly detector?: ShapeOptions['detector'];
  readonly sink?: ShapeOptions['sink'];
  readonly detectors?: number;
}

export interface Stage {
  readonly simulator: Simulator;
  readonly collector: Collector;
  readonly s3: S3Server | undefined;
  readonly shape: Shape;
  /** The hashes of all events that must arrive. */
  readonly expected: readonly string[];
  /** How many of the expected events have arrived. */
  arrived(): number;
  /** Starts Hydrant, then lets the simulator play. */
  play(): Promise<void>;
  /** Gives how many events the load had. */
  endLoad(): number;
  /** Resolves when `count` different events have arrived. */
  whenArrived(count: number): Promise<void>;
}

async function startServicesOnClusters(options: ShapeOptions): Promise<Shape> {
  return startServices(options, { broker: await startRabbitMqCluster(), stateStore: await startRedisWithSentinels() });
}

/** Frames of a load that the simulator can send again. */
const loadBuffer = 50_000;
/** Of a whole recording or load, on a machine that does much else. */
const arrivalMs = 120_000;

interface Test {
  teardown(action: () => Promise<void>): void;
}

export async function setStage(t: Test, shapeName: ShapeName | StartShape, options: StageOptions = {}): Promise<Stage> {
  const simulator = await startSimulator({
    speed: options.speed ?? 15,
    paused: true,
    shiftToNow: options.shiftToNow ?? false,
    lists: options.lists ?? 'recorded',
    ...(options.load === undefined ? {} : { load: options.load, bufferSize: loadBuffer }),
  });
  t.teardown(() => simulator.close());
  const collector = await startCollector();
  t.teardown(() => collector.close());
  const s3 = options.withS3 === true ? await startS3Server() : undefined;
  if (s3 !== undefined) t.teardown(() => s3.close());
  const startShape = typeof shapeName === 'string' ? shapes[shapeName] : shapeName;
  const shape = await startShape({
    nomadUrl: simulator.url,
    collectorUrl: collector.url,
    ...(s3 === undefined ? {} : { s3: makeS3Settings(s3) }),
    ...(options.firehose === undefined ? {} : { firehose: options.firehose }),
    ...(options.secondFirehose === undefined ? {} : { secondFirehose: options.secondFirehose }),
    ...(options.detector === undefined ? {} : { detector: options.detector }),
    ...(options.sink === undefined ? {} : { sink: options.sink }),
    ...(options.detectors === undefined ? {} : { detectors: options.detectors }),
  });
  t.teardown(() => shape.close());
  const distinct = new Set(options.load === undefined ? await readEventHashes() : []);

  function arrived(): number {
    // n.b. Times that were moved make other bytes: then the recorded hashes tell nothing.
    if (options.load !== undefined || options.shiftToNow === true) return collector.events.size;
    let count = 0;
    for (const hash of distinct) if (collector.events.has(hash)) count += 1;
    return count;
  }
  return {
    simulator,
    collector,
    s3,
    shape,
    expected: [...distinct],
    arrived,
    async play() {
      await shape.start();
      simulator.control.resume();
    },
    endLoad() {
      simulator.control.pause();
      return simulator.state.events;
    },
    async whenArrived(count) {
      await eventually(
        () => {
          if (arrived() >= count) return true;
          throw new Error(
            `Expected ${String(count)} events to arrive, got ${String(arrived())}\n${shape.processes.map((process) => process.log().slice(-3000)).join('\n')}`,
          );
        },
        { timeoutMs: arrivalMs, message: `${String(count)} events arrive` },
      );
    },
  };
}

function makeS3Settings(s3: S3Server): Readonly<Record<string, string>> {
  return {
    ...s3.credentials,
    SINK_S3_BUCKET: s3.bucket,
    SINK_S3_ENDPOINT: s3.url,
    SINK_S3_REGION: 'us-east-1',
    SINK_S3_FORCE_PATH_STYLE: 'true',
    SINK_BATCH_AGE: '500ms',
  };
}
