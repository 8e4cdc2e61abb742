/**
 * Turns confirms, which come in any order, into the checkpoint: the highest index of which every event that was read is
 * confirmed. Pure: it knows positions and indexes, not where they come from.
 */
export interface CheckpointTracker {
  /**
   * To be called first, if at all: everything up to `position` was confirmed by an earlier process, which stored
   * `index`.
   */
  begin(position: number, index?: number): void;
  /**
   * What is at `position` is on its way; `index` is undefined for what is not of the stream. Positions go up, except
   * after `goBack`; some are missing where the log is damaged.
   */
  sent(position: number, index: number | undefined): void;
  confirmed(position: number): void;
  /** After the event at `position` (0: before any) a frame of `index` was read of which nothing is sent. */
  passed(position: number, index: number): void;
  /**
   * The stream will be read a second time from `index` on, for what it did not show: the checkpoint is not beyond it
   * until that has come.
   */
  hold(index: number): void;
  /**
   * What was read the second time begins after `position`, which may be told again as long as nothing of it was sent.
   */
  rereadAfter(position: number): void;
  /** Forgets what is on its way: everything after `position` will be sent again. */
  goBack(): void;
  /** Everything up to this position is confirmed; 0 at first. */
  readonly position: number;
  /**
   * The checkpoint, when `lastRead` is the position of the newest event read; undefined while there is none.
   * An index counts once all of its events that were read are confirmed.
   */
  index(lastRead: number): number | undefined;
  /**
   * Once it was held: the checkpoint that was given last, which is right whatever waits. What is stored may lie beyond
   * it.
   */
  readonly lowered: number | undefined;
}

interface Sent {
  readonly position: number;
  readonly index: number | undefined;
  isConfirmed: boolean;
}

class ConfirmTracker implements CheckpointTracker {
  /** What is not confirmed up to here, oldest first; `#offset` of them at the front are done with. */
  #window: Sent[] = [];
  #offset = 0;
  #position = 0;
  /** Index of the event at `#position`, and the one before it that differs. */
  #newest: number | undefined;
  #complete: number | undefined;
  #lastPassed: { readonly position: number; readonly index: number } | undefined;
  /** What is to be read a second time begins at `index` and, once it comes, after the position `after`. */
  #held: { readonly index: number; after: number } | undefined;
  #wasHeld = false;
  /** The checkpoint that was given last. */
  #given: number | undefined;

  get position(): number {
    return this.#position;
  }

  get lowered(): number | undefined {
    return this.#wasHeld ? this.#given : undefined;
  }

  begin(position: number, index?: number): void {
    this.#position = position;
    this.#given = index;
  }

  sent(position: number, index: number | undefined): void {
    this.#window.push({ position, index, isConfirmed: false });
  }

  confirmed(position: number): void {
    const sent = this.#find(position);
    if (sent === undefined) return;
    sent.isConfirmed = true;
    this.#advance();
  }

  /**
   * n.b. positions that are missing make the window shorter than its positions tell: what is looked for stands at the
   * place that they tell, or before it.
   */
  #find(position: number): Sent | undefined {
    const first = this.#window[this.#offset]?.position ?? 0;
    for (let at = Math.min(this.#offset + position - first, this.#window.length - 1); at >= this.#offset; at -= 1) {
      const sent = this.#window[at];
      if (sent === undefined || sent.position < position) return undefined;
      if (sent.position === position) return sent;
    }
    return undefined;
  }

  passed(position: number, index: number): void {
    this.#lastPassed = { position, index };
  }

  hold(index: number): void {
    // n.b. what was passed is of the first reading.
    this.#lastPassed = undefined;
    this.#held = { index: Math.min(index, this.#held?.index ?? index), after: Number.POSITIVE_INFINITY };
    this.#wasHeld = true;
    if (this.#given !== undefined) this.#given = Math.min(this.#given, index);
  }

  rereadAfter(position: number): void {
    if (this.#held !== undefined) this.#held.after = position;
  }

  goBack(): void {
    this.#window = [];
    this.#offset = 0;
  }

  index(lastRead: number): number | undefined {
    const index = this.#reached(lastRead);
    this.#given = index ?? this.#given;
    return index;
  }

  #advance(): void {
    for (let sent = this.#window[this.#offset]; sent?.isConfirmed === true; sent = this.#window[this.#offset]) {
      this.#offset += 1;
      this.#position = sent.position;
      if (sent.index !== undefined) this.#takeIndex(sent.index);
    }
    if (this.#offset > 1024 && this.#offset * 2 > this.#window.length) {
      this.#window = this.#window.slice(this.#offset);
      this.#offset = 0;
    }
  }

  #takeIndex(index: number): void {
    if (this.#held !== undefined && this.#position > this.#held.after) {
      // All that was read before the second time is confirmed.
      this.#complete = this.#held.index <= index ? this.#held.index : undefined;
      this.#held = undefined;
    } else if (index !== this.#newest) {
      // n.b. after an index that is lower the stream is read a second time from there on, and the higher one proves
      // nothing any more.
      this.#complete = this.#newest !== undefined && index > this.#newest ? this.#newest : undefined;
    }
    this.#newest = index;
  }

  #reached(lastRead: number): number | undefined {
    const isAtEnd = this.#window[this.#offset] === undefined && this.#position >= lastRead;
    if (isAtEnd && this.#lastPassed?.position === this.#position) return this.#lastPassed.index;
    const index = isAtEnd ? this.#newest : this.#confirmed(this.#window[this.#offset]);
    if (this.#held === undefined) return index;
    const known = index ?? this.#given;
    return known === undefined ? undefined : Math.min(known, this.#held.index);
  }

  /** `next` is on its way, or undefined when it is not sent yet: it may belong to the newest index. */
  #confirmed(next: Sent | undefined): number | undefined {
    return next?.index === undefined || next.index === this.#newest ? this.#complete : this.#newest;
  }
}

export function createCheckpointTracker(): CheckpointTracker {
  return new ConfirmTracker();
}
