/**
 * Plays a recording into the buffer: at once, or as it arrived, slower or faster, any number of rounds. Every round
 * after the first has higher indexes and other ids. Without rounds and shifting, bytes are the recording's own.
 */
import type { Clock, Timer } from '@hydrant/shared/foundation/clock';
import type { EventBuffer } from './event-buffer.ts';
import type { Feed, FeedState } from './feed.ts';
import { readFrame, type Frame } from './frame.ts';
import type { Recording } from './recording.ts';
import { isIdentity, rewriteBytes, type Rewrite } from './rewrite.ts';

/** Times the recorded speed, or everything at once. */
export type Speed = number | 'instant';

export interface PlayerOptions {
  readonly speed: Speed;
  /** Infinity plays for ever. */
  readonly rounds: number;
  readonly shiftToNow: boolean;
  readonly paused: boolean;
}

export interface PlayerPorts {
  readonly recording: Recording;
  readonly buffer: EventBuffer;
  readonly clock: Clock;
  readonly onFinished: () => void;
}

const NS_PER_MS = 1_000_000;
const PAUSE_BETWEEN_ROUNDS_MS = 1000;

export class Player implements Feed {
  readonly #ports: PlayerPorts;
  readonly #options: PlayerOptions;
  #rewrite: Rewrite;
  #round = 0;
  #position = 0;
  /**
   * How far the round has been played, in the recording's own time, and since when (by the monotonic clock) it goes on.
   */
  #playedMs = 0;
  #playingSince: number | undefined;
  #paused: boolean;
  #frames = 0;
  #events = 0;
  #timer: Timer | undefined;

  constructor(ports: PlayerPorts, options: PlayerOptions) {
    this.#ports = ports;
    this.#options = options;
    this.#paused = options.paused;
    this.#rewrite = this.#makeRewrite();
  }

  get rewrite(): Rewrite {
    return this.#rewrite;
  }

  get state(): FeedState {
    return {
      frames: this.#frames,
      events: this.#events,
      paused: this.#paused,
      finished: this.#round >= this.#options.rounds,
    };
  }

  start(): void {
    if (this.#paused || this.#playingSince !== undefined) return;
    if (this.#position === 0) this.#rewrite = this.#makeRewrite();
    this.#playingSince = this.#ports.clock.monotonic();
    this.#advance();
  }

  pause(): void {
    this.#playedMs = this.#elapsedMs();
    this.#playingSince = undefined;
    this.#paused = true;
    this.#timer?.cancel();
  }

  resume(): void {
    this.#paused = false;
    this.start();
  }

  restart(): void {
    this.stop();
    this.#round = 0;
    this.#rewind();
    this.start();
  }

  stop(): void {
    this.#timer?.cancel();
    this.#playingSince = undefined;
  }

  #advance(): void {
    const { recording, buffer, clock } = this.#ports;
    if (this.state.finished) return;
    const elapsed = this.#elapsedMs();
    const due: Frame[] = [];
    let next = recording.frames[this.#position];
    while (next !== undefined && next.arrivalMs <= elapsed) {
      due.push(this.#render(next));
      this.#position += 1;
      next = recording.frames[this.#position];
    }
    this.#frames += due.length;
    this.#events += due.reduce((events, frame) => events + frame.events.length, 0);
    buffer.append(...due);
    if (next === undefined) this.#endRound();
    else
      this.#timer = clock.after((next.arrivalMs - elapsed) / this.#factor(), () => {
        this.#advance();
      });
  }

  #endRound(): void {
    this.#round += 1;
    if (this.state.finished) {
      this.stop();
      this.#ports.onFinished();
      return;
    }
    this.#playingSince = undefined;
    this.#rewind();
    this.#timer = this.#ports.clock.after(PAUSE_BETWEEN_ROUNDS_MS / this.#factor(), () => {
      this.start();
    });
  }

  #rewind(): void {
    this.#position = 0;
    this.#playedMs = 0;
  }

  #render(frame: Frame): Frame {
    if (isIdentity(this.#rewrite)) return frame;
    return readFrame(rewriteBytes(frame.line, this.#rewrite)) ?? frame;
  }

  #elapsedMs(): number {
    if (this.#options.speed === 'instant') return Infinity;
    if (this.#playingSince === undefined) return this.#playedMs;
    return this.#playedMs + (this.#ports.clock.monotonic() - this.#playingSince) * this.#options.speed;
  }

  #factor(): number {
    return this.#options.speed === 'instant' ? Infinity : this.#options.speed;
  }

  /** The recording's end is moved to the moment when its last frame will be played: no event lies in the future. */
  #makeRewrite(): Rewrite {
    const { recording, clock } = this.#ports;
    const endNs = BigInt(Math.round((clock.now() + recording.durationMs / this.#factor()) * NS_PER_MS));
    return {
      shiftNs: this.#options.shiftToNow ? endNs - recording.endNs : 0n,
      indexOffset: this.#round * recording.newestIndex,
      idSeed: this.#round,
      keptIds: recording.nodeIds,
    };
  }
}
