/** The messages that one subscription has handed out, in order, to know up to which position all are settled. */
import type { Backoff } from '../../foundation/backoff.ts';
import type { Message } from '../../messages/message.ts';

export interface HeldMessage {
  readonly position: number;
  readonly message: Message;
  /** Its number among all that were handed out. */
  readonly sequence: number;
  /** How often the handler was called with it. */
  attempts: number;
  /** Grows with each throw of the handler. */
  backoff?: Backoff;
}

const compactAt = 1024;

export class SettlementWindow {
  /** Settled ones are undefined, so that their bodies can go although an earlier message is still held. */
  #slots: (HeldMessage | undefined)[] = [];
  /** Sequence of the first slot. */
  #offset = 0;
  /** Slot of the oldest held message. */
  #head = 0;
  #passed: number;
  #count = 0;
  #bytes = 0;

  /** Nothing is handed out; all up to and with `position` is done. */
  constructor(position: number) {
    this.#passed = position;
  }

  /** Messages handed out and not settled. */
  get count(): number {
    return this.#count;
  }

  /** Their body bytes. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Everything up to and with this position is settled or was never wanted. */
  get settledUpTo(): number {
    const oldest = this.#slots[this.#head];
    return oldest === undefined ? this.#passed : oldest.position - 1;
  }

  /** Goes past a message that the bindings do not match. */
  pass(position: number): void {
    this.#passed = position;
  }

  /** Holds the next message until `settle`. */
  hold(position: number, message: Message): HeldMessage {
    const held: HeldMessage = { position, message, sequence: this.#offset + this.#slots.length, attempts: 0 };
    this.#slots.push(held);
    this.#passed = position;
    this.#count += 1;
    this.#bytes += message.body.length;
    return held;
  }

  /** Called once per held message. */
  settle({ sequence, message }: HeldMessage): void {
    this.#slots[sequence - this.#offset] = undefined;
    this.#count -= 1;
    this.#bytes -= message.body.length;
    while (this.#head < this.#slots.length && this.#slots[this.#head] === undefined) this.#head += 1;
    if (this.#head < compactAt || this.#head < this.#slots.length / 2) return;
    this.#slots = this.#slots.slice(this.#head);
    this.#offset += this.#head;
    this.#head = 0;
  }
}
