/**
 * Which fault the simulator shows at the moment. One at a time; endpoints look here before they answer.
 */
export type FaultMode = 'none' | 'stall' | 'refuse' | 'error' | 'html' | 'deny';

export interface FaultOptions {
  /** With `deny`: whether the list endpoints refuse too. Nomad can refuse a stream whose lists it allows. */
  readonly lists?: boolean;
}

/**
 * What is wrong with one list: its next token is always the same, its body is missing or `null` or no list, or it
 * answers a status.
 */
export type ListFault = 'same-token' | 'empty' | 'null' | 'malformed' | number;

export class Faults {
  readonly #lists = new Map<string, ListFault>();
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

  /** Of the list's name, such as `jobs`. */
  listFault(list: string): ListFault | undefined {
    return this.#lists.get(list);
  }

  breakList(list: string, fault: ListFault | undefined): void {
    if (fault === undefined) this.#lists.delete(list);
    else this.#lists.set(list, fault);
  }

  /** Calls `listener` after each change until the returned function is called. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }
}
