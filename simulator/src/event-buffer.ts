/**
 * Nomad's buffer of the newest transactions, and the readers' places in it. It holds `size` frames and one more, drops
 * the oldest without a word, and a reader whose last item has gone is told so only when it asks for the next one.
 */
import type { Frame } from './frame.ts';

/** A place in the buffer. Items without a frame mark the end of an empty buffer. */
export interface BufferItem {
  readonly frame: Frame | undefined;
  next: BufferItem | undefined;
  dropped: boolean;
}

export type NextItem = BufferItem | 'end' | 'dropped';

const SIZE_FOR_ZERO = 100;

function makeItem(frame?: Frame): BufferItem {
  return { frame, next: undefined, dropped: false };
}

export class EventBuffer {
  readonly #capacity: number;
  readonly #listeners = new Set<() => void>();
  readonly #onFrame: (frame: Frame) => void;
  #head = makeItem();
  #tail = this.#head;
  #items = 1;

  /** `onFrame` is called for each frame that comes in. */
  constructor(size: number, onFrame: (frame: Frame) => void = () => undefined) {
    this.#onFrame = onFrame;
    this.#capacity = (size === 0 ? SIZE_FOR_ZERO : size) + 1;
  }

  get capacity(): number {
    return this.#capacity;
  }

  get oldestIndex(): number | undefined {
    return this.#head.frame?.index ?? this.#head.next?.frame?.index;
  }

  get newestIndex(): number | undefined {
    return this.#tail.frame?.index;
  }

  /** Readers are told once, after the last of `frames`. */
  append(...frames: readonly Frame[]): void {
    for (const frame of frames) {
      const item = makeItem(frame);
      this.#onFrame(frame);
      this.#tail.next = item;
      this.#tail = item;
      this.#items += 1;
      while (this.#items > this.#capacity) this.#dropHead();
    }
    for (const listener of [...this.#listeners]) listener();
  }

  /** Calls `listener` after each append until the returned function is called. */
  onAppend(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  /** A place just before the item that a stream from `index` begins with; 0 is the oldest. */
  placeBefore(index: number | bigint): BufferItem {
    const place = makeItem();
    place.next = this.#closest(index);
    return place;
  }

  /** What comes after `place`. Only here does a slow reader learn that its place has gone. */
  after(place: BufferItem): NextItem {
    if (place.next === undefined) return 'end';
    return place.dropped ? 'dropped' : place.next;
  }

  /** Drops every frame up to and including `index`; readers that had read them all stay. */
  evictTo(index: number): void {
    while ((this.#head.frame?.index ?? 0) <= index) {
      if (this.#head === this.#tail) {
        this.#empty();
        return;
      }
      this.#dropHead();
    }
  }

  /** Drops every frame; readers that had read them all stay. */
  clear(): void {
    while (this.#head !== this.#tail) this.#dropHead();
    this.#empty();
  }

  #empty(): void {
    const end = makeItem();
    this.#tail.next = end;
    this.#head = end;
    this.#tail = end;
    this.#items = 1;
  }

  #dropHead(): void {
    this.#head.dropped = true;
    this.#head = this.#head.next ?? this.#tail;
    this.#items -= 1;
  }

  #closest(index: number | bigint): BufferItem {
    let item = this.#head;
    if (Number(index) === 0) return item;
    for (;;) {
      if ((item.frame?.index ?? 0) >= index) return item;
      if (item.next === undefined) return item;
      item = item.next;
    }
  }
}
