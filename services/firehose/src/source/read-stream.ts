/**
 * One connection to the stream, from its first byte to its end: lines to frames, judging the beginning (gap), and what
 * to do about a line that is no frame. What has to outlive the connection stands in `StreamPosition`.
 */
import type { Clock, Timer } from '@hydrant/shared/foundation/clock';
import { errorCode, toError } from '@hydrant/shared/foundation/errors';
import { decideBehind, decideGap, type Gap } from '../gap/decide-gap.ts';
import type { LeaderIndex } from '../gap/leader-index.ts';
import type { FrameReceiver } from './frame-receiver.ts';
import type { LivenessWatch } from './liveness.ts';
import type { OpenedStream } from './open-stream.ts';
import { scanFrame, type Frame } from './scan-frame.ts';
import { createLineSplitter } from './split-lines.ts';
import { foreign, tooLong, wentBack } from './stream-errors.ts';

export type MalformedKind = 'json' | 'frame' | 'event' | 'too-long';

export interface StreamReaderTelemetry {
  bytesReceived(bytes: number): void;
  framesReceived(frames: number, events: number, newestIndex: number): void;
  /** The stream begins before what was asked for, and will be read from there on. */
  streamLags(lag: { readonly resumedAt: number; readonly firstIndex: number }): void;
  /** `willReread`: the stream is opened again first, since the line may have been garbled on its way. */
  lineMalformed(line: {
    readonly kind: MalformedKind;
    readonly afterIndex: number | undefined;
    readonly willReread: boolean;
    readonly err: Error;
  }): void;
  eventMalformed(index: number): void;
}

/** What is known between connections. */
export interface StreamPosition {
  /** Index of the newest frame received, or of the checkpoint. */
  index: number | undefined;
  /** Where `index` was read, when that is none of our addresses and nothing has been received since. */
  elsewhere: string | undefined;
  /** The index after which a malformed line made us read again. A second one there is skipped. */
  rereadAfter: number | undefined;
  /** For how long connections have asked for `index` and shown no frame since silence was last taken for a gap. */
  silentMs: number;
  /** Silence was taken for a gap, and no frame has come since. */
  isSilentGap: boolean;
}

export function createStreamPosition(): StreamPosition {
  return { index: undefined, elsewhere: undefined, rereadAfter: undefined, silentMs: 0, isSilentGap: false };
}

export interface StreamReaderOptions {
  readonly start: 'oldest' | 'now' | 'snapshot';
  readonly maxLineBytes: number;
  /** How soon after the first line Nomad sends the newest frame that it has. What comes later is taken for new. */
  readonly firstFrameMs: number;
  /**
   * After so long without a frame the one that was asked for is taken to be gone, until it comes. A server that is
   * short of CPU time may take seconds.
   */
  readonly silenceMs: number;
  /**
   * How long a stream that begins before what was asked for may take to catch up when the leader does not say whether
   * it will.
   */
  readonly catchUpMs: number;
}

export interface StreamReaderPorts {
  /** For people. */
  readonly address: string;
  readonly receiver: FrameReceiver;
  readonly telemetry: StreamReaderTelemetry;
  readonly clock: Clock;
  /** What the leader's lists tell; undefined when none can be read. */
  readonly leaderIndex: (signal: AbortSignal) => Promise<LeaderIndex | undefined>;
  onFirstLine(): void;
}

export interface StreamReaderSummary {
  readonly lines: number;
  /** A frame came that had not been received before. */
  readonly hasProgressed: boolean;
}

function malformedKind(thrown: unknown): MalformedKind {
  return errorCode(thrown) === 'json-malformed' ? 'json' : 'frame';
}

export class StreamReader {
  readonly #options: StreamReaderOptions;
  readonly #ports: StreamReaderPorts;
  readonly #position: StreamPosition;
  /** Frames of the chunk in hand. */
  #frames: Frame[] = [];
  #lines = 0;
  #firstLineMs = Number.POSITIVE_INFINITY;
  #silenceTimer: Timer | undefined;
  /**
   * `silent`: silence was taken for a gap. `behind`: the stream began before what was asked for, and what that means is
   * not known yet.
   */
  #beginning: 'unknown' | 'silent' | 'behind' | 'lagging' | 'judged' = 'unknown';
  /** While nobody knows whether the stream will catch up: where it began, and until when that is waited for. */
  #undecided: { readonly firstIndex: number; readonly untilMs: number } | undefined;
  #hasProgressed = false;
  /** Index of the newest frame, received or in hand. */
  #newest: number | undefined;
  /** Set by a malformed line: nothing after it is looked at. */
  #reread: Error | undefined;

  constructor(options: StreamReaderOptions, ports: StreamReaderPorts, position: StreamPosition) {
    this.#options = options;
    this.#ports = ports;
    this.#position = position;
    this.#newest = position.index;
  }

  get summary(): StreamReaderSummary {
    return { lines: this.#lines, hasProgressed: this.#hasProgressed };
  }

  /** Returns when the stream ended; throws when it broke or has to be read again. */
  async run(stream: OpenedStream, liveness: LivenessWatch, signal: AbortSignal): Promise<void> {
    const { receiver, telemetry } = this.#ports;
    const splitter = createLineSplitter(this.#options.maxLineBytes, {
      line: (bytes) => {
        this.#takeLine(bytes);
      },
      overlong: () => {
        this.#takeOverlong();
      },
      endless: (length) => {
        this.#takeEndless(length);
      },
    });
    receiver.streamOpened();
    try {
      for await (const chunk of stream.bytes) {
        liveness.touch();
        telemetry.bytesReceived(chunk.length);
        splitter.push(chunk);
        if (this.#frames.length > 0) {
          liveness.pause();
          if (this.#beginning === 'behind') await this.#judgeBehind(signal);
          await this.#handOver(signal);
          liveness.resume();
        }
        if (this.#isOverdue()) await this.#judgeOverdue(signal);
        if (this.#reread !== undefined) throw this.#reread;
      }
    } finally {
      this.#silenceTimer?.cancel();
      if (this.#beginning === 'unknown') this.#position.silentMs += this.#sinceFirstLine();
    }
  }

  async #handOver(signal: AbortSignal): Promise<void> {
    const frames = this.#frames;
    if (frames.length === 0) return;
    this.#frames = [];
    await this.#ports.receiver.receive(frames, signal);
    this.#position.index = this.#newest;
    this.#position.elsewhere = undefined;
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
    const { clock } = this.#ports;
    this.#firstLineMs = clock.monotonic();
    this.#silenceTimer = clock.after(Math.max(0, this.#options.silenceMs - this.#position.silentMs), () => {
      this.#judgeSilence();
    });
  }

  #sinceFirstLine(): number {
    return Math.max(0, this.#ports.clock.monotonic() - this.#firstLineMs);
  }

  #takeOverlong(): void {
    if (this.#reread !== undefined) return;
    this.#countLine();
    this.#takeMalformed(
      'too-long',
      tooLong(this.#options.maxLineBytes, 'got more; raise it if Nomad has such large frames'),
    );
  }

  /** What has no end cannot be skipped. */
  #takeEndless(length: number): void {
    this.#reread ??= tooLong(
      this.#options.maxLineBytes,
      `got ${String(length)} without an end: closed the stream; is that Nomad which answers?`,
    );
  }

  #takeFrame(frame: Frame): void {
    const { start } = this.#options;
    if (this.#beginning !== 'judged' && !this.#judgeFirst(frame)) return;
    const isFirst = this.#newest === undefined;
    if (this.#newest !== frame.index) this.#hasProgressed = true;
    this.#newest = frame.index;
    this.#position.silentMs = 0;
    this.#position.isSilentGap = false;
    for (const event of frame.events) if (event.head === undefined) this.#ports.telemetry.eventMalformed(frame.index);
    // The newest frame that Nomad has comes first even when none was asked for; one that comes later is new.
    if (isFirst && start !== 'oldest' && this.#sinceFirstLine() < this.#options.firstFrameMs)
      this.#beginAfter(frame.index);
    else this.#frames.push(frame);
  }

  #beginAfter(index: number): void {
    this.#position.index = index;
    this.#ports.receiver.beginAfter(index);
  }

  #takeMalformed(kind: MalformedKind, err: Error): void {
    const { telemetry } = this.#ports;
    const afterIndex = this.#newest;
    const place = afterIndex ?? 0;
    // n.b. a proxy's error page is 200 and lines, too: what begins with no good line is no stream of which a line could
    // be skipped.
    const willReread = this.#lines === 1 || this.#position.rereadAfter !== place;
    telemetry.lineMalformed({ kind, afterIndex, willReread, err });
    if (willReread) {
      this.#position.rereadAfter = place;
      this.#reread = err;
    } else {
      this.#ports.receiver.gapFound({
        reason: 'malformed-line',
        since: place,
        fromIndex: afterIndex,
        toIndex: undefined,
      });
    }
  }

  /** False when the frame is not to be taken now. */
  #judgeFirst(frame: Frame): boolean {
    if (this.#beginning === 'behind') {
      this.#frames.push(frame);
      return false;
    }
    const decision = decideGap({ resumedAt: this.#position.index, first: frame.index });
    if (decision.kind === 'behind') {
      if (this.#beginning !== 'lagging') {
        this.#beginning = 'behind';
        this.#frames.push(frame);
      }
      return false;
    }
    const isTold = this.#beginning === 'silent';
    this.#beginning = 'judged';
    if (decision.kind === 'gap' && !isTold) this.#tellGap(decision, frame.index);
    if (decision.kind === 'contiguous' && this.#position.isSilentGap) this.#ports.receiver.gapDisproved(frame.index);
    return true;
  }

  /** The leader knows whether the stream lags or the indexes began anew. */
  async #judgeBehind(signal: AbortSignal): Promise<void> {
    const frames = this.#frames;
    const [first] = frames;
    const resumedAt = this.#position.index;
    if (first === undefined || resumedAt === undefined) return;
    const leader = await this.#ports.leaderIndex(signal);
    signal.throwIfAborted();
    const { elsewhere } = this.#position;
    const decision = decideBehind(resumedAt, leader, { isElsewhere: elsewhere !== undefined, isLate: false });
    this.#frames = [];
    if (decision.kind === 'foreign')
      throw foreign(this.#ports.address, { index: resumedAt, elsewhere, leaderIndex: leader?.index });
    if (decision.kind === 'gap') {
      this.#beginning = 'judged';
      this.#tellGap(decision, first.index);
    } else {
      this.#beginning = 'lagging';
      if (decision.kind === 'undecided')
        this.#undecided = { firstIndex: first.index, untilMs: this.#ports.clock.monotonic() + this.#options.catchUpMs };
      this.#ports.telemetry.streamLags({ resumedAt, firstIndex: first.index });
    }
    for (const frame of frames) this.#takeFrame(frame);
  }

  /** n.b. Nomad's heartbeats make that a question every half minute at least. */
  #isOverdue(): boolean {
    return (
      this.#beginning === 'lagging' &&
      this.#undecided !== undefined &&
      this.#ports.clock.monotonic() >= this.#undecided.untilMs
    );
  }

  /**
   * It did not catch up. If that is not because it lags, what it sent so far has to be read after all: the stream is
   * opened again where it began.
   */
  async #judgeOverdue(signal: AbortSignal): Promise<void> {
    const { index: resumedAt, elsewhere } = this.#position;
    if (this.#undecided === undefined || resumedAt === undefined) return;
    const { firstIndex } = this.#undecided;
    this.#undecided = undefined;
    const leader = await this.#ports.leaderIndex(signal);
    signal.throwIfAborted();
    const decision = decideBehind(resumedAt, leader, { isElsewhere: elsewhere !== undefined, isLate: true });
    if (decision.kind === 'foreign')
      throw foreign(this.#ports.address, { index: resumedAt, elsewhere, leaderIndex: leader?.index });
    if (decision.kind !== 'gap') return;
    this.#tellGap(decision, firstIndex);
    this.#position.index = firstIndex;
    this.#position.silentMs = 0;
    this.#position.isSilentGap = false;
    throw wentBack(this.#ports.address, resumedAt, firstIndex);
  }

  #tellGap({ reason, since }: Gap, toIndex: number | undefined): void {
    this.#ports.receiver.gapFound({ reason, since, fromIndex: this.#position.index, toIndex });
  }

  /** Silence proves nothing: the frame may come yet, and then it decides. */
  #judgeSilence(): void {
    if (this.#beginning !== 'unknown') return;
    const decision = decideGap({ resumedAt: this.#position.index, first: 'nothing' });
    if (decision.kind !== 'gap') return;
    // n.b. what comes may still be of another time: a server that lags and has nothing to show yet, or a cluster that
    // was just built anew.
    this.#beginning = 'silent';
    this.#position.silentMs = 0;
    this.#position.isSilentGap = true;
    this.#tellGap(decision, undefined);
  }
}
