/**
 * Fills the buffer with allocation events that never were, made from the recording's own: at a rate, whether or not
 * somebody reads; or as fast as the slowest reader takes them, so that nobody is dropped.
 */
import { randomBytes } from 'node:crypto';
import { setImmediate } from 'node:timers';
import type { Clock, Timer } from '@hydrant/shared/foundation/clock';
import { HydrantError } from '@hydrant/shared/foundation/errors';
import type { EventBuffer } from './event-buffer.ts';
import type { Feed, FeedState } from './feed.ts';
import type { Frame } from './frame.ts';
import { makeLoadFrame, makeLoadTemplates, type LoadTemplates } from './load-templates.ts';
import type { Recording } from './recording.ts';
import type { Rewrite } from './rewrite.ts';

export interface LoadOptions {
  /** Without it: as fast as the slowest reader takes them. */
  readonly eventsPerSecond?: number;
  /** Ends after this many events; without it, never. */
  readonly total?: number;
  /** 1 by default. */
  readonly eventsPerFrame?: number;
  /** How many of a hundred events may tell of crashes, as those of the recording do; 100 by default. */
  readonly crashPercent?: number;
  /** How many allocations the events tell of, in turn; without it, each event has one of its own. */
  readonly allocations?: number;
  /** Size of each event; without it, as recorded. */
  readonly eventBytes?: number;
}

export interface LoadPorts {
  readonly recording: Recording;
  readonly buffer: EventBuffer;
  readonly clock: Clock;
  readonly rewrite: Rewrite;
  /** True when there are readers and each has everything. */
  readonly readersAtEnd: () => boolean;
  readonly onFinished: () => void;
}

const TICK_MS = 10;
const BATCH_BYTES = 512 * 1024;

export class LoadGenerator implements Feed {
  readonly rewrite: Rewrite;
  readonly #ports: LoadPorts;
  readonly #options: Required<Omit<LoadOptions, 'eventsPerSecond' | 'eventBytes'>> & {
    readonly eventsPerSecond: number | undefined;
    readonly eventBytes: number | undefined;
  };
  readonly #runId = Buffer.from(randomBytes(4).toString('hex'));
  #templates: LoadTemplates = { asRecorded: [], calm: [] };
  #templateDigits = 0;
  #frames = 0;
  #events = 0;
  #index: number;
  #paused: boolean;
  #running = false;
  #feedDue = false;
  #timer: Timer | undefined;

  constructor(ports: LoadPorts, options: LoadOptions, paused: boolean) {
    this.#ports = ports;
    this.#options = {
      eventsPerSecond: options.eventsPerSecond,
      eventBytes: options.eventBytes,
      allocations: options.allocations ?? Infinity,
      total: options.total ?? Infinity,
      eventsPerFrame: options.eventsPerFrame ?? 1,
      crashPercent: options.crashPercent ?? 100,
    };
    this.#paused = paused;
    this.#index = ports.recording.newestIndex;
    this.rewrite = ports.rewrite;
    this.#makeTemplates(String(this.#index).length);
  }

  get state(): FeedState {
    return {
      frames: this.#frames,
      events: this.#events,
      paused: this.#paused,
      finished: this.#events >= this.#options.total,
    };
  }

  start(): void {
    if (this.#paused || this.#running || this.state.finished) return;
    this.#running = true;
    const { eventsPerSecond } = this.#options;
    if (eventsPerSecond === undefined) this.readerIsAtEnd();
    else this.#tickAt(eventsPerSecond);
  }

  pause(): void {
    this.stop();
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.start();
  }

  restart(): void {
    this.stop();
    this.#index = this.#ports.recording.newestIndex;
    this.start();
  }

  stop(): void {
    this.#running = false;
    this.#timer?.cancel();
  }

  /** To be called whenever a reader has everything; gives more once all have. */
  readerIsAtEnd(): void {
    if (!this.#running || this.#feedDue || this.#options.eventsPerSecond !== undefined) return;
    this.#feedDue = true;
    // n.b. not at once: appending writes to the readers, which brings them here again.
    setImmediate(() => {
      this.#feedDue = false;
      if (this.#running && this.#ports.readersAtEnd()) this.#appendBatch();
    });
  }

  #tickAt(eventsPerSecond: number): void {
    const { clock } = this.#ports;
    const startedAt = clock.monotonic();
    const before = this.#events;
    this.#timer = clock.every(TICK_MS, () => {
      const due = before + Math.floor(((clock.monotonic() - startedAt) / 1000) * eventsPerSecond) - this.#events;
      // n.b. one by one: a burst that is larger than the buffer still passes under the eyes of readers that keep up.
      for (let left = this.#limit(due); left > 0; left = this.#limit(left - this.#options.eventsPerFrame)) {
        const events = Math.min(this.#options.eventsPerFrame, this.#limit(Infinity));
        if (left < events) break;
        this.#ports.buffer.append(this.#makeFrame(events));
      }
      this.#finishAtTotal();
    });
  }

  /** At most a batch of bytes and half of what the buffer holds: nothing is dropped before it was read. */
  #appendBatch(): void {
    const frames: Frame[] = [];
    const maxFrames = Math.max(1, this.#ports.buffer.capacity >> 1);
    let left = this.#limit(Infinity);
    let bytes = 0;
    while (left > 0 && frames.length < maxFrames && bytes < BATCH_BYTES) {
      const frame = this.#makeFrame(Math.min(left, this.#options.eventsPerFrame));
      frames.push(frame);
      bytes += frame.line.length;
      left -= frame.events.length;
    }
    this.#ports.buffer.append(...frames);
    this.#finishAtTotal();
  }

  #limit(events: number): number {
    return Math.min(events, this.#options.total - this.#events);
  }

  #finishAtTotal(): void {
    if (!this.state.finished) return;
    this.stop();
    this.#ports.onFinished();
  }

  #makeFrame(events: number): Frame {
    this.#index += 1;
    const digits = String(this.#index).length;
    if (digits !== this.#templateDigits) this.#makeTemplates(digits);
    const frame = makeLoadFrame(this.#templates, {
      index: this.#index,
      firstEvent: this.#events,
      events,
      crashPercent: this.#options.crashPercent,
      allocations: this.#options.allocations,
      runId: this.#runId,
    });
    this.#events += events;
    this.#frames += 1;
    return frame;
  }

  #makeTemplates(digits: number): void {
    const { recording } = this.#ports;
    this.#templates = makeLoadTemplates(recording.frames, this.rewrite, digits, this.#options.eventBytes);
    this.#templateDigits = digits;
    if (this.#templates.asRecorded.length > 0) return;
    throw new HydrantError(
      `Expected allocation events in the recording \`${recording.name}\` to make load from, got none`,
      {
        code: 'recording-without-allocations',
        retryable: false,
      },
    );
  }
}
