/** Gathers the many small writes of a publisher. Where the socket is not found, it does nothing. */
import type { Duplex } from 'node:stream';
import type { ChannelModel } from 'amqplib';
import { findSocket } from './amqp-socket.ts';

/**
 * Gathers what is written within a turn of the event loop into one system call: a fifth of a publisher's processor time
 * otherwise.
 */
export class WriteBatcher {
  readonly #socket: Duplex | undefined;
  #corked = false;

  constructor(model: ChannelModel) {
    this.#socket = findSocket(model);
  }

  /** To be called before a write. */
  hold(): void {
    if (this.#corked || this.#socket === undefined) return;
    this.#corked = true;
    this.#socket.cork();
    // amqplib moves frames to the socket in a setImmediate that it asks for after this one; so let go in the turn
    // after.
    setImmediate(() => {
      setImmediate(this.#release);
    });
  }

  readonly #release = (): void => {
    this.#corked = false;
    this.#socket?.uncork();
  };
}
