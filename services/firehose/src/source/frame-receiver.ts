/** What takes over that which is read from the stream. */
import type { Gap } from '../gap/decide-gap.ts';
import type { Frame } from './scan-frame.ts';

export interface FrameReceiver {
  /** A new connection: what follows may repeat what was received. */
  streamOpened(): void;
  /** Takes the frames over; waits only while the spool is full. Rejects when `signal` aborts before that. */
  receive(frames: readonly Frame[], signal: AbortSignal): Promise<void>;
  /** Frames up to `index` are not handed over: the stream was asked to begin with what comes after. */
  beginAfter(index: number): void;
  /**
   * The stream will be opened again at `index`, for what it did not show from there on: what follows repeats the rest.
   * Resolves when that is noted.
   */
  rereadFrom(index: number): Promise<void>;
  /** Frames are missing between those received and those that follow. */
  gapFound(gap: FoundGap): void;
  /** The gap `not-in-buffer` that was found last was none: the frame that was asked for came after all. */
  gapDisproved(index: number): void;
}

/** The same receiver with another way to take frames over. */
export function withReceive(receiver: FrameReceiver, receive: FrameReceiver['receive']): FrameReceiver {
  return {
    streamOpened: () => {
      receiver.streamOpened();
    },
    beginAfter: (index) => {
      receiver.beginAfter(index);
    },
    rereadFrom: (index) => receiver.rereadFrom(index),
    gapFound: (gap) => {
      receiver.gapFound(gap);
    },
    gapDisproved: (index) => {
      receiver.gapDisproved(index);
    },
    receive,
  };
}

export interface FoundGap extends Omit<Gap, 'kind'> {
  /** Index of the newest frame received before. */
  readonly fromIndex: number | undefined;
  /** Index of the first frame after it, when there is one yet. */
  readonly toIndex: number | undefined;
}
