/**
 * Which fault the simulator shows at the moment. One at a time; endpoints look here before they answer.
 */
export type FaultMode = 'none' | 'stall' | 'refuse' | 'error' | 'html' | 'deny';

export interface FaultOptions {
  /** With `deny`: whether the list endpoints refuse too. Nomad can refuse a stream whose lists it allows. */
  readonly lists?: boolean;
}

export class Faults {
  readonly #listeners = new Set<() => void>();
  #mode: FaultMode = 'none';
  #denyLists = true;

  get mode(): FaultMode {
    return this.#mode;
  }

  get listsDenied(): boolean {
    return this.#mode === 'deny' && this.#denyLists;
  }

  set(mode: FaultMode, options: FaultOptions = {}): void {
    this.#mode = mode;
    this.#denyLists = options.lists ?? true;
    for (const listener of [...this.#listeners]) listener();
  }

  /** Calls `listener` after each change until the returned function is called. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }
}
