/**
 * One connection to the stream, from its first byte to its end: lines to frames, judging the beginning (gap), and what to do about a line that
 * is no frame. What has to outlive the connection stands in `StreamPosition`.
 */
import type { Clock, Timer } from '@hydrant/shared/foundation/clock';
import { errorCode, HydrantError, toError } from '@hydrant/shared/foundation/errors';
import { decideGap, type GapReason } from '../gap/decide-gap.ts';
import { scanFrame, type Frame } from './frames.ts';
import { createLineSplitter } from './lines.ts';
import type { LivenessWatch } from './liveness.ts';
import type { OpenedStream } from './open.ts';

export type MalformedKind = 'json' | 'frame' | 'event' | 'too-long';

export interface SessionTelemetry {
  bytesReceived(bytes: number): void;
  framesReceived(frames: number, events: number, newestIndex: number): void;
  gapFound(gap: { readonly reason: GapReason | 'malformed-line'; readonly fromIndex: number | undefined; readonly toIndex: number | undefined }): void;
  /** `willReread`: the stream is opened again first, since the line may have been garbled on its way. */
  lineMalformed(line: { readonly kind: MalformedKind; readonly afterIndex: number | undefined; readonly willReread: boolean; readonly err: Error }): void;
  eventMalformed(index: number): void;
}

export interface FrameReceiver {
  /** A new connection: what follows may repeat what was received. */
  streamOpened(): void;
  /** Takes the frames over; waits only while the spool is full. Rejects when `signal` aborts before that. */
  receive(frames: readonly Frame[], signal: AbortSignal): Promise<void>;
}

/** What is known between connections. */
export interface StreamPosition {
  /** Index of the newest frame received, or of the checkpoint. */
  index: number | undefined;
  /** The topics or the namespace are not those of the checkpoint; asked once. */
  isFilterChanged: boolean;
  /** The index after which a malformed line made us read again. A second one there is skipped. */
  rereadAfter: number | undefined;
}

export interface SessionOptions {
  readonly start: 'oldest' | 'now';
  readonly maxLineBytes: number;
  /** How soon after the first line Nomad sends a frame that it still has. */
  readonly firstFrameMs: number;
}

export interface SessionPorts {
  readonly receiver: FrameReceiver;
  readonly telemetry: SessionTelemetry;
  readonly clock: Clock;
  onFirstLine(): void;
}

export interface SessionSummary {
  readonly lines: number;
  /** A frame came that had not been received before. */
  readonly hasProgressed: boolean;
}

function malformedKind(thrown: unknown): MalformedKind {
  return errorCode(thrown) === 'json-malformed' ? 'json' : 'frame';
}

export class StreamSession {
  readonly #options: SessionOptions;
  readonly #ports: SessionPorts;
  readonly #position: StreamPosition;
  /** Frames of the chunk in hand. */
  #frames: Frame[] = [];
  #lines = 0;
  #firstFrameTimer: Timer | undefined;
  #isJudged = false;
  /** The time within which a frame that Nomad still has would have come is over. */
  #isLate = false;
  #hasProgressed = false;
  /** Index of the newest frame, received or in hand. */
  #newest: number | undefined;
  /** Set by a malformed line: nothing after it is looked at. */
  #reread: Error | undefined;

  constructor(options: SessionOptions, ports: SessionPorts, position: StreamPosition) {
    this.#options = options;
    this.#ports = ports;
    this.#position = position;
    this.#newest = position.index;
  }

  get summary(): SessionSummary {
    return { lines: this.#lines, hasProgressed: this.#hasProgressed };
  }

  /** Returns when the stream ended; throws when it broke or has to be read again. */
  async run(stream: OpenedStream, liveness: LivenessWatch, signal: AbortSignal): Promise<void> {
    const { receiver, telemetry } = this.#ports;
    const splitter = createLineSplitter(this.#options.maxLineBytes, {
      line: (bytes) => { this.#takeLine(bytes); },
      overlong: (length) => { this.#takeOverlong(length); },
    });
    receiver.streamOpened();
    try {
      for await (const chunk of stream.bytes) {
        liveness.touch();
        telemetry.bytesReceived(chunk.length);
        splitter.push(chunk);
        if (this.#frames.length > 0) {
          liveness.pause();
          await this.#handOver(signal);
          liveness.resume();
        }
        if (this.#reread !== undefined) throw this.#reread;
      }
    } finally {
      this.#firstFrameTimer?.cancel();
    }
  }

  async #handOver(signal: AbortSignal): Promise<void> {
    const frames = this.#frames;
    this.#frames = [];
    await this.#ports.receiver.receive(frames, signal);
    this.#position.index = this.#newest;
    let events = 0;
    for (const frame of frames) events += frame.events.length;
    this.#ports.telemetry.framesReceived(frames.length, events, this.#newest ?? 0);
  }

  #takeLine(bytes: Buffer): void {
    if (this.#reread !== undefined) return;
    this.#countLine();
    try {
      const frame = scanFrame(bytes);
      if (frame !== 'heartbeat') this.#takeFrame(frame);
    } catch (thrown) {
      this.#takeMalformed(malformedKind(thrown), toError(thrown));
    }
  }

  #countLine(): void {
    this.#lines += 1;
    if (this.#lines > 1) return;
    this.#ports.onFirstLine();
    this.#firstFrameTimer = this.#ports.clock.after(this.#options.firstFrameMs, () => { this.#judgeLateness(); });
  }

  #takeOverlong(length: number): void {
    if (this.#reread !== undefined) return;
    this.#countLine();
    const expected = `Expected a line of the stream to have at most ${String(this.#options.maxLineBytes)} bytes, got ${String(length)}`;
    this.#takeMalformed('too-long', new HydrantError(expected, { code: 'line-too-long', retryable: false }));
  }

  #takeFrame(frame: Frame): void {
    const isFirst = !this.#isJudged;
    if (isFirst) this.#judge(frame.index);
    const resumedAt = this.#newest;
    this.#newest = frame.index;
    if (resumedAt !== frame.index) this.#hasProgressed = true;
    for (const event of frame.events) if (event.head === undefined) this.#ports.telemetry.eventMalformed(frame.index);
    // The newest frame that Nomad has comes first even when none was asked for; one that comes later is new.
    if (isFirst && resumedAt === undefined && this.#options.start === 'now' && !this.#isLate) this.#position.index = frame.index;
    else this.#frames.push(frame);
  }

  #takeMalformed(kind: MalformedKind, err: Error): void {
    const { telemetry } = this.#ports;
    const afterIndex = this.#newest;
    const place = afterIndex ?? 0;
    // n.b. a proxy's error page is 200 and lines, too: what begins with no good line is no stream of which a line could be skipped.
    const willReread = this.#lines === 1 || this.#position.rereadAfter !== place;
    telemetry.lineMalformed({ kind, afterIndex, willReread, err });
    if (willReread) {
      this.#position.rereadAfter = place;
      this.#reread = err;
    } else {
      telemetry.gapFound({ reason: 'malformed-line', fromIndex: afterIndex, toIndex: undefined });
    }
  }

  #judge(first: number | 'nothing'): void {
    const { index: resumedAt, isFilterChanged } = this.#position;
    const decision = decideGap({ resumedAt, first, isFilterChanged });
    this.#isJudged = true;
    this.#position.isFilterChanged = false;
    if (decision.kind !== 'gap') return;
    this.#ports.telemetry.gapFound({ reason: decision.reason, fromIndex: resumedAt, toIndex: first === 'nothing' ? undefined : first });
  }

  #judgeLateness(): void {
    this.#isLate = true;
    if (!this.#isJudged && this.#position.index !== undefined) this.#judge('nothing');
  }
}
