/**
 * What a test or an operator can do to a running simulator. Every action takes effect before it returns or resolves.
 */
import type { EventBuffer } from './event-buffer.ts';
import type { Faults, FaultMode, FaultOptions, ListFault } from './faults.ts';
import type { Feed, FeedState } from './feed.ts';
import type { Lists } from './lists.ts';
import type { NomadServer } from './nomad-server.ts';
import type { Permissions } from './permissions.ts';
import type { StreamEndpoint } from './stream-endpoint.ts';

export interface SimulatorState extends FeedState {
  readonly fault: FaultMode;
  readonly clients: number;
  /** Streams that were ever opened. */
  readonly streamsOpened: number;
  readonly oldestIndex: number | undefined;
  readonly newestIndex: number | undefined;
}

export interface RestartOptions {
  /** `kept`: the same cluster with an empty buffer. `anew`: a rebuilt one, which begins with the first indexes. */
  readonly indexes?: 'kept' | 'anew';
}

export interface ControlPorts {
  readonly buffer: EventBuffer;
  readonly faults: Faults;
  readonly permissions: Permissions;
  readonly feed: Feed;
  readonly lists: Lists;
  readonly server: NomadServer;
  readonly streams: StreamEndpoint;
}

export class SimulatorControl {
  readonly #ports: ControlPorts;

  constructor(ports: ControlPorts) {
    this.#ports = ports;
  }

  get state(): SimulatorState {
    const { buffer, faults, feed, streams } = this.#ports;
    return {
      ...feed.state,
      fault: faults.mode,
      clients: streams.clients,
      streamsOpened: streams.opened,
      oldestIndex: buffer.oldestIndex,
      newestIndex: buffer.newestIndex,
    };
  }

  /** Ends every open stream, cleanly or with a TCP reset. */
  cut(how: 'end' | 'reset' = 'end'): void {
    this.#ports.streams.cutAll(how);
  }

  /** Every open stream ends in the middle of the next frame it would get; without one, the next stream does. */
  cutMidLine(): void {
    this.#ports.streams.cutNextLines();
  }

  /** Streams say nothing, not even heartbeats, and stay open; new ones get no answer. Until `heal`. */
  async stall(): Promise<void> {
    await this.#setFault('stall');
  }

  /** Nothing listens any more; open streams go on. Until `heal`. */
  async refuse(): Promise<void> {
    await this.#setFault('refuse');
    this.#ports.server.stopListening();
  }

  /** Every endpoint answers 500. Open streams go on. Until `heal`. */
  async answerError(): Promise<void> {
    await this.#setFault('error');
  }

  /** Every endpoint answers with a page, as a proxy in between does. Open streams go on. Until `heal`. */
  async answerHtml(): Promise<void> {
    await this.#setFault('html');
  }

  /** New streams are an empty 200 and, unless `lists` is false, lists answer 403. Open streams go on. Until `heal`. */
  async deny(options: FaultOptions = {}): Promise<void> {
    await this.#setFault('deny', options);
  }

  /**
   * Takes permissions from every token: `node-read`, `management` or `<namespace>/<capability>`, either of which may be
   * `*`; none gives all back. Open streams that are not allowed any more end.
   */
  restrict(refused: readonly string[]): void {
    this.#ports.permissions.refuse(refused);
    this.#ports.streams.cutRefused();
  }

  /** Ends the fault that lasts. */
  async heal(): Promise<void> {
    await this.#setFault('none');
  }

  /** Drops the buffer's frames up to and including `index`, as many other transactions would have done. */
  evict(index: number): void {
    this.#ports.buffer.evictTo(index);
  }

  /** As if the server had been stopped and started: streams end, the buffer is empty. */
  restart(options: RestartOptions = {}): void {
    this.#ports.streams.cutAll('end');
    this.#ports.buffer.clear();
    if (options.indexes !== 'anew') return;
    this.#ports.lists.forgetPlayed();
    this.#ports.feed.restart();
  }

  /** What is wrong with one list, such as `jobs`; `undefined`: nothing any more. The others go on. */
  breakList(list: string, fault: ListFault | undefined): void {
    this.#ports.faults.breakList(list, fault);
  }

  /** `nomad operator snapshot save`, of played lists. */
  saveSnapshot(): void {
    this.#ports.lists.saveSnapshot();
  }

  /**
   * `nomad operator snapshot restore`: streams end, the buffer is empty, lists go back to what was saved. What is
   * played later has later indexes.
   */
  restoreSnapshot(): void {
    this.#ports.streams.cutAll('end');
    this.#ports.buffer.clear();
    this.#ports.lists.restoreSnapshot();
  }

  pause(): void {
    this.#ports.feed.pause();
  }

  resume(): void {
    this.#ports.feed.resume();
  }

  /**
   * Open streams do not see it, even those of `namespace=*`. It was made now, or at the index `madeAt` and becomes
   * known now.
   */
  addNamespace(name: string, madeAt?: number): void {
    const { buffer, lists } = this.#ports;
    lists.addNamespace(name, Math.max(buffer.newestIndex ?? 0, lists.index('namespaces')) + 1, madeAt);
  }

  /** New streams and lists do not show it nor what lives in it, until it is added. */
  removeNamespace(name: string): void {
    this.#ports.lists.removeNamespace(name);
  }

  async #setFault(mode: FaultMode, options: FaultOptions = {}): Promise<void> {
    if (this.#ports.faults.mode === 'refuse' && mode !== 'refuse') await this.#ports.server.listenAgain();
    this.#ports.faults.set(mode, options);
  }
}
