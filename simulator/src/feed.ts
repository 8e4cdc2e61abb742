/**
 * What fills the buffer: a player of the recording, or a generator of load. One feed per simulator.
 */
import type { Rewrite } from './rewrite.ts';

export interface FeedState {
  /** Frames and events given to the buffer since the simulator started. */
  readonly frames: number;
  readonly events: number;
  readonly paused: boolean;
  /** True when nothing more will come. */
  readonly finished: boolean;
}

export interface Feed {
  readonly state: FeedState;
  /** How the recording looks at the moment. */
  readonly rewrite: Rewrite;
  /** Begins, unless it is paused. */
  start(): void;
  pause(): void;
  resume(): void;
  /** Begins anew with the first indexes, as a rebuilt cluster does. */
  restart(): void;
  stop(): void;
}
