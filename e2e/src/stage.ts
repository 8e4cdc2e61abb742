/**
 * Everything that a guarantee plays on: the simulator with the recording, the collector, an S3 server if asked for, and Hydrant in one of its shapes.
 */
import { eventually } from '@hydrant/testing/eventually';
import { startSimulator, type Simulator } from '@hydrant/simulator/simulator';
import { startCollector, type Collector } from './collector.ts';
import { readEventHashes } from './event-hashes.ts';
import { startS3Server, type S3Server } from './s3-server.ts';
import { startServices } from './services-shape.ts';
import type { Shape, ShapeOptions } from './shape.ts';
import { startStandalone } from './standalone-shape.ts';

export const shapes = { 'three services': startServices, standalone: startStandalone } as const;
export type ShapeName = keyof typeof shapes;
export const shapeNames: readonly ShapeName[] = ['three services', 'standalone'];

export interface StageOptions {
  readonly withS3?: boolean;
  /** How fast the recording (72 s) is played; default 15. */
  readonly speed?: number;
  readonly firehose?: ShapeOptions['firehose'];
  readonly detector?: ShapeOptions['detector'];
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
  /** Resolves when `count` different events have arrived. */
  whenArrived(count: number): Promise<void>;
}

interface Test {
  teardown(action: () => Promise<void>): void;
}

export async function setStage(t: Test, shapeName: ShapeName, options: StageOptions = {}): Promise<Stage> {
  const simulator = await startSimulator({ speed: options.speed ?? 15, paused: true, shiftToNow: false });
  t.teardown(() => simulator.close());
  const collector = await startCollector();
  t.teardown(() => collector.close());
  const s3 = options.withS3 === true ? await startS3Server() : undefined;
  if (s3 !== undefined) t.teardown(() => s3.close());
  const shape = await shapes[shapeName]({
    nomadUrl: simulator.url,
    collectorUrl: collector.url,
    ...(s3 === undefined ? {} : { s3: makeS3Settings(s3) }),
    ...(options.firehose === undefined ? {} : { firehose: options.firehose }),
    ...(options.detector === undefined ? {} : { detector: options.detector }),
  });
  t.teardown(() => shape.close());
  const expected = await readEventHashes();
  const distinct = new Set(expected);

  function arrived(): number {
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
    async whenArrived(count) {
      await eventually(() => {
        if (arrived() >= count) return true;
        throw new Error(`Expected ${String(count)} events to arrive, got ${String(arrived())}\n${shape.processes.map((process) => process.log().slice(-3000)).join('\n')}`);
      }, { timeoutMs: 60_000, message: `${String(count)} events arrive` });
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
