/** What an earlier process left in the spool, and where reading goes on after it. */
import type { Cursor } from '@hydrant/shared/spool/spool';
import type { Checkpoint } from '../checkpoint/checkpoint-store.ts';
import type { CheckpointTracker } from '../checkpoint/tracker.ts';
import { streamIndex } from '../message/stream-index.ts';
import type { SpoolNote, SpoolNoteStore } from './spool-note.ts';

export interface BacklogContent {
  /** Records that are not confirmed. */
  readonly records: number;
  /** Index of the newest frame of which every event is among them, or before them; undefined when there is none. */
  readonly index: number | undefined;
  /** Within it the stream was read a second time from an earlier index, or indexes began anew. */
  readonly wentBack: boolean;
}

export interface BacklogTelemetry {
  /** An earlier process left that many events; reading goes on at that index. */
  backlogFound(backlog: { readonly events: number; readonly resumeAt: number | undefined }): void;
}

export interface BacklogPorts {
  readonly tracker: CheckpointTracker;
  /** Undefined: the spool does not outlive the process. */
  readonly note: SpoolNoteStore | undefined;
  /** True: reading goes on at the checkpoint whatever the log holds. */
  readonly needsCheckpoint: boolean;
  readonly telemetry: BacklogTelemetry;
}

export interface Backlog {
  /** Resolves with where reading begins. To be called once, before anything is published. */
  takeOver(cursor: Cursor, checkpoint: Checkpoint | undefined, signal: AbortSignal): Promise<Checkpoint | undefined>;
  /** See `IntakePorts.beforeFrames`. */
  beforeFrames(frames: Pick<SpoolNote, 'isWhole' | 'epoch'>): Promise<void>;
  /**
   * True when something behind it is confirmed: it may hold what a healing brought, and end inside a frame, so the
   * checkpoint waits for that.
   */
  readonly isConfirmed: boolean;
}

const limits = { maxRecords: 10_000, maxBytes: 8 * 1024 * 1024 };

/** Looks through it and puts the cursor back. */
export async function readBacklog(cursor: Cursor, signal: AbortSignal): Promise<BacklogContent> {
  const { committed, lag: records } = cursor;
  const end = committed + records;
  let index: number | undefined;
  let newest: number | undefined;
  let wentBack = false;
  let isBroken = false;
  for (let last = committed; last < end && !signal.aborted;) {
    const batch = await cursor.read(limits, signal);
    // Positions at the end are lost.
    if (batch.length === 0) break;
    for (const { position, message } of batch) {
      // n.b. what is lost in the log is read again from where it was whole.
      isBroken ||= position > last + 1;
      last = position;
      if (isBroken) continue;
      const found = streamIndex(message);
      if (found === undefined || found === newest) continue;
      const isBack = newest !== undefined && found < newest;
      wentBack ||= isBack;
      // n.b. the newest frame may lack events: a crash keeps whole records, not whole frames. And what was read before
      // going back proves nothing.
      index = isBack ? undefined : newest;
      newest = found;
    }
  }
  cursor.rewind(committed + 1);
  return { records, index, wentBack };
}

/** Where reading goes on: after what the log holds, or at the checkpoint where the log cannot tell. */
export function chooseBeginning(
  checkpoint: Checkpoint | undefined,
  content: BacklogContent,
  note: SpoolNote | undefined,
): Checkpoint | undefined {
  const { index, wentBack } = content;
  if (index === undefined || note?.isWhole !== true) return checkpoint;
  // Somebody else has confirmed more meanwhile: another leader, or a process without this folder.
  if (checkpoint !== undefined && checkpoint.index >= index && !wentBack) return checkpoint;
  return { source: '', ...checkpoint, index, filter: note.filter, epoch: note.epoch };
}

/** `filter` is that of the frames to come. */
export function createBacklog(filter: string, { tracker, note, needsCheckpoint, telemetry }: BacklogPorts): Backlog {
  let end = -1;
  return {
    async takeOver(cursor, checkpoint, signal) {
      tracker.begin(cursor.committed, checkpoint?.index);
      if (cursor.lag === 0) return checkpoint;
      end = cursor.committed + cursor.lag;
      const content = await readBacklog(cursor, signal);
      const beginning = chooseBeginning(checkpoint, content, needsCheckpoint ? undefined : await note?.load());
      telemetry.backlogFound({ events: content.records, resumeAt: beginning?.index });
      return beginning;
    },
    async beforeFrames({ isWhole, epoch }) {
      await note?.save({ filter, isWhole, epoch });
    },
    get isConfirmed() {
      return tracker.position > end;
    },
  };
}
