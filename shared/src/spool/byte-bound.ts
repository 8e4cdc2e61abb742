/** The bound of a log in bytes: who may append now, who waits, and in which order. */
import { spoolFull } from './spool-errors.ts';

export interface Entrant {
  /** True: never waits. */
  readonly evenWhenFull: boolean;
  /** Called at once or later, in the order of `enter`; from then on the bytes are held. */
  admit(): void;
  /** Called instead of `admit`. */
  fail(error: Error): void;
}

export interface ByteBoundOptions {
  readonly maxBytes: number;
  /** The cursor that is furthest behind; null without cursors. */
  slowest(): string | null;
  /** Called when the first entrant waits and after each removal that left one waiting. */
  onPressure?(): void;
}

interface Waiter extends Entrant {
  readonly bytes: number;
}

export class ByteBound {
  readonly #options: ByteBoundOptions;
  readonly #waiting: Waiter[] = [];
  readonly #listeners: ((slowest: string | null) => void)[] = [];
  #held = 0;

  constructor(options: ByteBoundOptions) {
    this.#options = options;
  }

  get held(): number {
    return this.#held;
  }

  get isFull(): boolean {
    return this.#waiting.length > 0;
  }

  onFull(listener: (slowest: string | null) => void): void {
    this.#listeners.push(listener);
  }

  /** Takes `bytes`, whatever the bound says. */
  take(bytes: number): void {
    this.#held += bytes;
  }

  /** Takes `bytes` when there is room. What is larger than the whole log is let in when it is empty. */
  enter(bytes: number, entrant: Entrant, signal?: AbortSignal): void {
    if (entrant.evenWhenFull || (!this.isFull && this.#fits(bytes))) {
      this.#held += bytes;
      entrant.admit();
      return;
    }
    if (signal?.aborted === true) {
      entrant.fail(this.#full());
      return;
    }
    this.#wait(bytes, entrant, signal);
  }

  /** Gives `bytes` back and lets in who waits for them. */
  leave(bytes: number): void {
    this.#held -= bytes;
    if (!this.isFull) return;
    this.#admit();
    if (this.isFull) this.#options.onPressure?.();
  }

  /** Turns away all who wait. */
  refuse(error: Error): void {
    for (const waiter of this.#waiting.splice(0)) waiter.fail(error);
  }

  #wait(bytes: number, { admit, fail, evenWhenFull }: Entrant, signal: AbortSignal | undefined): void {
    const giveUp = (): void => {
      this.#waiting.splice(this.#waiting.indexOf(waiter), 1);
      fail(this.#full());
      if (this.isFull) this.#admit();
      else this.#tell(null);
    };
    const waiter: Waiter = {
      bytes,
      evenWhenFull,
      admit: () => {
        signal?.removeEventListener('abort', giveUp);
        admit();
      },
      fail: (error) => {
        signal?.removeEventListener('abort', giveUp);
        fail(error);
      },
    };
    signal?.addEventListener('abort', giveUp, { once: true });
    this.#waiting.push(waiter);
    if (this.#waiting.length > 1) return;
    this.#tell(this.#options.slowest() ?? '');
    this.#options.onPressure?.();
  }

  #fits(bytes: number): boolean {
    return this.#held === 0 || this.#held + bytes <= this.#options.maxBytes;
  }

  #full(): Error {
    return spoolFull(this.#options.maxBytes, this.#options.slowest());
  }

  #admit(): void {
    for (let waiter = this.#waiting[0]; waiter !== undefined && this.#fits(waiter.bytes); waiter = this.#waiting[0]) {
      this.#waiting.shift();
      this.#held += waiter.bytes;
      waiter.admit();
    }
    if (!this.isFull) this.#tell(null);
  }

  #tell(slowest: string | null): void {
    for (const listener of this.#listeners) listener(slowest);
  }
}
