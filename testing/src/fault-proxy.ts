/**
 * A TCP proxy between a component and its server that can be told to misbehave.
 *
 * pass (at start, after `restore`): bytes go through, late by `latency`. cut: every connection is reset, new ones are
 * reset as soon as they are made. black hole: connections stay open, new ones are accepted, no byte goes through; after
 * `restore` what was held back goes on.
 */
import { createConnection, createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { readHelperArguments } from './test-like.ts';
import type { TestLike } from './test-like.ts';

export interface FaultProxyOptions {
  readonly targetPort: number;
  /** Default 127.0.0.1. */
  readonly targetHost?: string;
}

export interface FaultProxy {
  readonly port: number;
  /** Open connections. */
  readonly connections: number;
  /** Connections made since the start. */
  readonly accepted: number;
  cut(): void;
  /** Resets what is open and goes on passing: a blip. */
  cutOnce(): void;
  blackHole(): void;
  restore(): void;
  /** Delays every byte in both directions by `ms`; 0 ends it. */
  latency(ms: number): void;
  /** New connections go to that port, open ones stay: as when a name leads to another server after a failover. */
  retarget(port: number): void;
  /** Safe to call twice; called by itself when a test was given. */
  close(): Promise<void>;
}

type Mode = 'pass' | 'cut' | 'black-hole';

const maxHeldBytes = 1024 * 1024;

export async function startFaultProxy(
  first: TestLike | FaultProxyOptions,
  second?: FaultProxyOptions,
): Promise<FaultProxy> {
  const { test, options } = readHelperArguments<FaultProxyOptions>(first, second);
  if (options === undefined) throw new Error('Expected startFaultProxy to be given a targetPort');
  const proxy = new TcpFaultProxy(options);
  await proxy.listen();
  test?.teardown(() => proxy.close());
  return proxy;
}

class TcpFaultProxy implements FaultProxy {
  readonly #server: Server;
  readonly #options: FaultProxyOptions;
  readonly #links = new Set<Link>();
  #mode: Mode = 'pass';
  #latencyMs = 0;
  #targetPort: number;
  accepted = 0;

  constructor(options: FaultProxyOptions) {
    this.#options = options;
    this.#targetPort = options.targetPort;
    this.#server = createServer((client) => {
      this.#accept(client);
    });
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get connections(): number {
    return this.#links.size;
  }

  listen(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(0, '127.0.0.1', resolve);
    });
  }

  cut(): void {
    this.#mode = 'cut';
    this.cutOnce();
  }

  cutOnce(): void {
    for (const link of this.#links) link.reset();
  }

  blackHole(): void {
    this.#mode = 'black-hole';
    for (const link of this.#links) link.setHeld(true);
  }

  restore(): void {
    this.#mode = 'pass';
    for (const link of this.#links) link.setHeld(false);
  }

  latency(ms: number): void {
    this.#latencyMs = ms;
  }

  retarget(port: number): void {
    this.#targetPort = port;
  }

  async close(): Promise<void> {
    this.cutOnce();
    if (!this.#server.listening) return;
    await new Promise((resolve) => {
      this.#server.close(resolve);
    });
  }

  #accept(client: Socket): void {
    this.accepted += 1;
    if (this.#mode === 'cut') {
      client.on('error', () => undefined);
      client.resetAndDestroy();
      return;
    }
    const target = createConnection({ port: this.#targetPort, host: this.#options.targetHost ?? '127.0.0.1' });
    const link = new Link(
      client,
      target,
      () => this.#latencyMs,
      () => {
        this.#links.delete(link);
      },
    );
    this.#links.add(link);
    link.setHeld(this.#mode === 'black-hole');
  }
}

/** One connection: a pipe in each direction. */
class Link {
  readonly #sockets: readonly Socket[];
  readonly #pipes: readonly Pipe[];

  constructor(client: Socket, target: Socket, latencyMs: () => number, onEnd: () => void) {
    this.#sockets = [client, target];
    this.#pipes = [new Pipe(client, target, latencyMs), new Pipe(target, client, latencyMs)];
    for (const socket of this.#sockets) {
      socket.setNoDelay(true);
      socket.on('error', () => {
        this.reset();
      });
      socket.once('close', () => {
        onEnd();
        this.reset();
      });
    }
  }

  setHeld(held: boolean): void {
    for (const pipe of this.#pipes) pipe.setHeld(held);
  }

  reset(): void {
    for (const pipe of this.#pipes) pipe.end();
    for (const socket of this.#sockets) {
      // n.b. a socket that is ending cannot be reset: it would stay open for ever.
      if (socket.writableEnded) socket.destroy();
      else if (!socket.destroyed) socket.resetAndDestroy();
    }
  }
}

interface Chunk {
  /** Undefined: the end of this direction. */
  readonly bytes: Buffer | undefined;
  readonly dueMs: number;
}

/** Bytes of one direction, in order, each written when it is due and nothing holds it. */
class Pipe {
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #latencyMs: () => number;
  readonly #chunks: Chunk[] = [];
  #heldBytes = 0;
  #held = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(from: Socket, to: Socket, latencyMs: () => number) {
    this.#from = from;
    this.#to = to;
    this.#latencyMs = latencyMs;
    from.on('data', (bytes) => {
      this.#push(bytes);
    });
    from.on('end', () => {
      this.#push(undefined);
    });
    to.on('drain', () => {
      this.#flush();
    });
  }

  setHeld(held: boolean): void {
    this.#held = held;
    if (!held) this.#flush();
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#chunks.length = 0;
  }

  #push(bytes: Buffer | undefined): void {
    this.#chunks.push({ bytes, dueMs: Date.now() + this.#latencyMs() });
    this.#heldBytes += bytes?.length ?? 0;
    if (this.#heldBytes > maxHeldBytes) this.#from.pause();
    this.#flush();
  }

  #flush(): void {
    clearTimeout(this.#timer);
    while (!this.#held && !this.#to.writableNeedDrain) {
      const chunk = this.#chunks[0];
      if (chunk === undefined) break;
      const waitMs = chunk.dueMs - Date.now();
      if (waitMs > 0) {
        this.#timer = setTimeout(() => {
          this.#flush();
        }, waitMs);
        break;
      }
      this.#chunks.shift();
      this.#heldBytes -= chunk.bytes?.length ?? 0;
      if (chunk.bytes === undefined) this.#to.end();
      else this.#to.write(chunk.bytes);
    }
    if (this.#heldBytes <= maxHeldBytes / 2 && this.#from.isPaused()) this.#from.resume();
  }
}
