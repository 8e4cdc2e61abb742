/**
 * Turns confirms, which come in any order, into the checkpoint: the highest index of which every event that was read is confirmed.
 * Pure: it knows positions and indexes, not where they come from.
 */
export interface CheckpointTracker {
  /** The event at `position` is on its way. Positions go up by one, except after `goBack`. */
  sent(position: number, index: number): void;
  confirmed(position: number): void;
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
  readonly index: number;
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

  function advance(): void {
    for (let sent = window[offset]; sent?.isConfirmed === true; sent = window[offset]) {
      offset += 1;
      position = sent.position;
      if (sent.index === newest) continue;
      complete = newest;
      newest = sent.index;
    }
    if (offset > 1024 && offset * 2 > window.length) {
      window = window.slice(offset);
      offset = 0;
    }
  }

  return {
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
    goBack() {
      window = [];
      offset = 0;
    },
    get position() {
      return position;
    },
    index(lastRead) {
      const next = window[offset];
      if (next !== undefined) return next.index === newest ? complete : newest;
      return position >= lastRead ? newest : complete;
    },
  };
}
