/**
 * Turns confirms, which come in any order, into the checkpoint: the highest index of which every event that was read is confirmed.
 * Pure: it knows positions and indexes, not where they come from.
 */
export interface CheckpointTracker {
  /** To be called first, if at all: everything up to `position` was confirmed by an earlier process. */
  begin(position: number): void;
  /** What is at `position` is on its way; `index` is undefined for what is not of the stream. Positions go up by one, except after `goBack`. */
  sent(position: number, index: number | undefined): void;
  confirmed(position: number): void;
  /** After the event at `position` (0: before any) a frame of `index` was read of which nothing is sent. */
  passed(position: number, index: number): void;
  /** Forgets what is on its way: everything after `position` will be sent again. */
  goBack(): void;
  /** Everything up to this position is confirmed; 0 at first. */
  readonly position: number;
  /**
   * The checkpoint, when `lastRead` is the position of the newest event read; undefined while there is none.
   * An index counts once all of its events that were read are confirmed.
   */
  index(lastRead: number): number | undefined;
}

interface Sent {
  readonly position: number;
  readonly index: number | undefined;
  isConfirmed: boolean;
}

export function createCheckpointTracker(): CheckpointTracker {
  /** What is not confirmed up to here, oldest first; `offset` of them at the front are done with. */
  let window: Sent[] = [];
  let offset = 0;
  let position = 0;
  /** Index of the event at `position`, and the one before it that differs. */
  let newest: number | undefined;
  let complete: number | undefined;
  let lastPassed: { readonly position: number; readonly index: number } | undefined;

  function advance(): void {
    for (let sent = window[offset]; sent?.isConfirmed === true; sent = window[offset]) {
      offset += 1;
      position = sent.position;
      if (sent.index === undefined || sent.index === newest) continue;
      // n.b. after an index that is lower the stream is read a second time from there on, and the higher one proves nothing any more.
      complete = newest !== undefined && sent.index > newest ? newest : undefined;
      newest = sent.index;
    }
    if (offset > 1024 && offset * 2 > window.length) {
      window = window.slice(offset);
      offset = 0;
    }
  }

  return {
    begin(at) {
      position = at;
    },
    sent(at, index) {
      window.push({ position: at, index, isConfirmed: false });
    },
    confirmed(at) {
      const first = window[offset];
      const sent = first === undefined ? undefined : window[offset + at - first.position];
      if (sent?.position !== at) return;
      sent.isConfirmed = true;
      advance();
    },
    passed(at, index) {
      lastPassed = { position: at, index };
    },
    goBack() {
      window = [];
      offset = 0;
    },
    get position() {
      return position;
    },
    index(lastRead) {
      const next = window[offset];
      if (next !== undefined) return next.index === undefined || next.index === newest ? complete : newest;
      if (position < lastRead) return complete;
      return lastPassed?.position === position ? lastPassed.index : newest;
    },
  };
}
