/**
 * How a simulator is set up, and what holds where nothing is said.
 */
import { systemClock, type Clock } from '@hydrant/shared/foundation/clock';
import { HydrantError } from '@hydrant/shared/foundation/errors';
import type { Frame } from './frame.ts';
import type { LoadOptions } from './load-generator.ts';
import type { Speed } from './player.ts';
import type { Writes } from './stream-subscription.ts';

/** Is told what only the simulator can know. Called at once, so it has to be quick. */
export interface SimulatorObserver {
  /** A frame has come into the buffer. */
  frameMade(frame: Frame): void;
  /**
   * A reader has asked for the frames from `index`; `oldestIndex` is what the buffer begins with, undefined when it is
   * empty.
   */
  streamOpened(opened: { readonly index: number; readonly oldestIndex: number | undefined }): void;
}

export interface SimulatorOptions {
  /** Name of a folder in fixtures/, or a path. `crashing-cluster` by default. */
  readonly recording?: string;
  readonly host?: string;
  /** 0, the default, is any free port. */
  readonly port?: number;
  /** Port of the HTTP control on the loopback address; without it there is none. */
  readonly controlPort?: number;
  /** Transactions the buffer holds (and one more); 5000 as in the recorded cluster, Nomad's own default is 100. */
  readonly bufferSize?: number;
  readonly heartbeatMs?: number;
  /** How long a reader may leave its socket full. */
  readonly writeTimeoutMs?: number;
  readonly writes?: Writes;
  /** `instant` by default. */
  readonly speed?: Speed;
  /** How often the recording is played; Infinity for ever. */
  readonly rounds?: number;
  /** Begin only when the control says `resume`. */
  readonly paused?: boolean;
  /** Moves the recording's times so that its end is when its last frame is played. */
  readonly shiftToNow?: boolean;
  /** Makes events from the recording's allocation events instead of playing it. */
  readonly load?: LoadOptions;
  /** What the list endpoints show: the recording's dumps (default), or the newest state of what was played so far. */
  readonly lists?: 'recorded' | 'played';
  /** Turns access control on: everything but this token is refused. */
  readonly token?: string;
  readonly clock?: Clock;
  readonly observer?: SimulatorObserver;
}

export type ResolvedOptions = Required<Omit<SimulatorOptions, 'controlPort' | 'load' | 'token' | 'observer'>> &
  Pick<SimulatorOptions, 'controlPort' | 'load' | 'token' | 'observer'>;

export const defaults = {
  recording: 'crashing-cluster',
  host: '127.0.0.1',
  port: 0,
  bufferSize: 5000,
  heartbeatMs: 30_000,
  writeTimeoutMs: 40_000,
  writes: 'apart',
  speed: 'instant',
  rounds: 1,
  paused: false,
  shiftToNow: false,
  lists: 'recorded',
} as const satisfies SimulatorOptions;

export function resolveOptions(options: SimulatorOptions): ResolvedOptions {
  const resolved = { clock: systemClock, ...defaults, ...options };
  if (resolved.speed === 'instant' && resolved.rounds === Infinity && resolved.load === undefined) {
    throw new HydrantError(
      'Expected a speed for a recording that is played for ever, got "instant"; set a speed such as 1',
      {
        code: 'simulator-options',
        retryable: false,
      },
    );
  }
  return resolved;
}
