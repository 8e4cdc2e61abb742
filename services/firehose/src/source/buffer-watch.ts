/**
 * How long Nomad's buffer lasts and how long the event stream has been away: the two that tell whether the next
 * connection will find a gap. Nomad keeps its newest transactions, 100 unless `event_buffer_size` says otherwise, and
 * those that the stream does not carry count there, too: the truth is at most this.
 *
 * States: at rest (nothing is to be read) → away (from the beginning on, after the end of a stream, or while it is not
 * read for want of room) → reading (a line came, or there is room again) → away; at rest again when reading has ended
 * for good.
 */
import type { Clock } from '@hydrant/shared/foundation/clock';

const bufferedFrames = 100;
/** What a new stream begins with is old: it came at once, but did not happen at once. */
const replayMs = 2_000;
const minuteMs = 60_000;
const rememberedMinutes = 10;
/** More says nothing to anybody. */
const maxSeconds = 3_600;

export class BufferWatch {
  readonly #clock: Pick<Clock, 'monotonic'>;
  #awaySinceMs: number | undefined;
  #openedMs = Number.POSITIVE_INFINITY;
  /**
   * Frames by minute of the monotonic clock. Old ones go when newer frames come: while nothing is read the past is the
   * best guess.
   */
  #minutes: { readonly minute: number; frames: number }[] = [];

  constructor(clock: Pick<Clock, 'monotonic'>) {
    this.#clock = clock;
  }

  opened(): void {
    this.#awaySinceMs = undefined;
    this.#openedMs = this.#clock.monotonic();
  }

  /** It is to be read, and is not. */
  ended(): void {
    this.#awaySinceMs ??= this.#clock.monotonic();
    this.#openedMs = Number.POSITIVE_INFINITY;
  }

  rest(): void {
    this.#awaySinceMs = undefined;
    this.#openedMs = Number.POSITIVE_INFINITY;
  }

  /** The stream is open and there is no room for what it says. */
  waitsForRoom(): void {
    this.#awaySinceMs ??= this.#clock.monotonic();
  }

  framesRead(frames: number): void {
    const nowMs = this.#clock.monotonic();
    if (this.#openedMs !== Number.POSITIVE_INFINITY) this.#awaySinceMs = undefined;
    if (nowMs - this.#openedMs < replayMs || this.#openedMs === Number.POSITIVE_INFINITY) return;
    const minute = Math.floor(nowMs / minuteMs);
    const last = this.#minutes.at(-1);
    if (last?.minute === minute) last.frames += frames;
    else
      this.#minutes = [...this.#minutes.filter((each) => each.minute > minute - rememberedMinutes), { minute, frames }];
  }

  get awaySeconds(): number {
    return this.#awaySinceMs === undefined ? 0 : (this.#clock.monotonic() - this.#awaySinceMs) / 1000;
  }

  /** By the busiest of the minutes remembered. */
  get bufferSeconds(): number {
    const busiest = this.#minutes.reduce((most, { frames }) => Math.max(most, frames), 0);
    return busiest === 0 ? maxSeconds : Math.min(maxSeconds, bufferedFrames / (busiest / (minuteMs / 1000)));
  }
}
