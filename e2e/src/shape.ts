/** What a guarantee needs of a running Hydrant, whichever of its two shapes it has. */
import type { ServerLevers } from '@hydrant/testing/server-levers';
import type { CommandResult, ServiceProcess } from './service-process.ts';

export interface ShapeOptions {
  readonly nomadUrl: string;
  readonly collectorUrl: string;
  /** Settings and credentials of an S3 sink; without them there is none. */
  readonly s3?: Readonly<Record<string, string>>;
  readonly firehose?: Readonly<Record<string, string>>;
  /** Where the second firehose is to differ from the first. */
  readonly secondFirehose?: Readonly<Record<string, string>>;
  readonly detector?: Readonly<Record<string, string>>;
  /** Settings of the sink that events go to. */
  readonly sink?: Readonly<Record<string, string>>;
  /** How many detectors share the queue; default 1. Standalone has one in any case. */
  readonly detectors?: number;
  /** Resolves with the port at which the services are to find a server, instead of its own. */
  readonly route?: Route;
}

export type Route = (server: 'RabbitMQ' | 'Redis', port: number) => Promise<number>;

/** A server that Hydrant depends on and that can be killed with -9 and started again on the same data. */
export interface Server extends ServerLevers {
  readonly name: string;
  restart(): Promise<void>;
}

export interface Shape {
  readonly name: string;
  /** The process that reads Nomad's stream. */
  readonly source: ServiceProcess;
  /** The process that delivers events. */
  readonly worker: ServiceProcess;
  /** Each process that detects crash loops. */
  readonly detectors: readonly ServiceProcess[];
  readonly processes: readonly ServiceProcess[];
  /**
   * A second `source` with the same settings unless told otherwise, not among `processes`: a test starts it itself.
   * Standalone has none.
   */
  readonly secondSource?: ServiceProcess;
  /** Where the state is kept; standalone has none. */
  readonly redisUrl?: string;
  /** Where the queues are, past any `route`; standalone has none. */
  readonly brokerUrl?: string;
  readonly servers: readonly Server[];
  /** Resolves when everything is ready; the consumers first, so that their queues exist. */
  start(): Promise<void>;
  /** Runs a command with the settings of the process that delivers events. */
  command(...args: readonly string[]): Promise<CommandResult>;
  /** How many messages RabbitMQ has handed out a second time; undefined where there is none. */
  redeliveries(): Promise<number | undefined>;
  /** SIGTERM to all; resolves with their exit codes. */
  stop(): Promise<readonly (number | null)[]>;
  close(): Promise<void>;
}
