/**
 * The order rule of a snapshot: the state of an object never goes back. Pure.
 *
 * It promises, for frames and listed objects in whatever order they come:
 * - an object goes out after every frame older than its state, and before every newer one;
 * - it does not go out when a frame has shown that state or a later one.
 */
export interface Listed {
  /** The same for an object in a list and in a frame. */
  readonly identity: string;
  readonly modifyIndex: number;
}

export function identityOf(topic: string, namespace: string, key: string): string {
  return `${topic}/${namespace}/${key}`;
}

export class SnapshotMerge<T extends Listed> {
  /** By object, the newest index at which a frame has shown it. */
  readonly #shown = new Map<string, number>();
  /** Listed ahead of the stream: it may show them yet. */
  readonly #pending = new Map<string, T>();
  #streamIndex: number;

  /** Frames up to `streamIndex` have gone out. */
  constructor(streamIndex: number) {
    this.#streamIndex = streamIndex;
  }

  /** Listed objects that wait for the stream. */
  get pending(): number {
    return this.#pending.size;
  }

  /** Index of the newest frame that has gone out. */
  get streamIndex(): number {
    return this.#streamIndex;
  }

  /** What is to go out now of what was listed; the rest is known or waits. */
  list(objects: readonly T[]): T[] {
    return objects.filter((object) => {
      if (this.#isShown(object)) return false;
      if (object.modifyIndex <= this.#streamIndex) return true;
      const before = this.#pending.get(object.identity);
      if (before === undefined || before.modifyIndex <= object.modifyIndex) this.#pending.set(object.identity, object);
      return false;
    });
  }

  /** What has to go out before a frame of that index. */
  before(index: number): T[] {
    if (this.#pending.size === 0) return [];
    const due = [...this.#pending.values()].filter((object) => object.modifyIndex < index);
    for (const { identity } of due) this.#pending.delete(identity);
    return due.toSorted((a, b) => a.modifyIndex - b.modifyIndex);
  }

  /** A frame of that index, with these objects, goes out. */
  show(index: number, identities: Iterable<string>): void {
    this.#streamIndex = Math.max(this.#streamIndex, index);
    for (const identity of identities) {
      this.#shown.set(identity, Math.max(index, this.#shown.get(identity) ?? 0));
      const pending = this.#pending.get(identity);
      if (pending !== undefined && pending.modifyIndex <= index) this.#pending.delete(identity);
    }
  }

  /** What was to go out and did not. */
  putBack(objects: readonly T[]): void {
    for (const object of objects) if (!this.#isShown(object)) this.#pending.set(object.identity, object);
  }

  /**
   * The stream has shown all that it will of what was listed: the rest goes out, and what is listed later up to there
   * as well.
   */
  rest(): T[] {
    const rest = this.before(Number.POSITIVE_INFINITY);
    this.#streamIndex = Math.max(this.#streamIndex, rest.at(-1)?.modifyIndex ?? 0);
    return rest;
  }

  #isShown({ identity, modifyIndex }: T): boolean {
    return (this.#shown.get(identity) ?? -1) >= modifyIndex;
  }
}
