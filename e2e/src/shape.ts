/** What a guarantee needs of a running Hydrant, whichever of its two shapes it has. */
import type { ServiceProcess } from './service-process.ts';

export interface ShapeOptions {
  readonly nomadUrl: string;
  readonly collectorUrl: string;
  /** Settings and credentials of an S3 sink; without them there is none. */
  readonly s3?: Readonly<Record<string, string>>;
  readonly firehose?: Readonly<Record<string, string>>;
  readonly detector?: Readonly<Record<string, string>>;
}

/** A server that Hydrant depends on and that can be killed with -9 and started again on the same data. */
export interface Server {
  readonly name: string;
  restart(): Promise<void>;
}

export interface Shape {
  readonly name: string;
  /** The process that reads Nomad's stream. */
  readonly source: ServiceProcess;
  readonly processes: readonly ServiceProcess[];
  readonly servers: readonly Server[];
  /** Resolves when everything is ready; the consumers first, so that their queues exist. */
  start(): Promise<void>;
  /** SIGTERM to all; resolves with their exit codes. */
  stop(): Promise<readonly (number | null)[]>;
  close(): Promise<void>;
}
