/**
 * A client of the simulator on a bare socket, for its tests: shows the bytes as they come, ends and resets included.
 */
import { connect, type Socket } from 'node:net';
import { systemClock } from '@hydrant/shared/foundation/clock';

const LIMIT_MS = 10_000;
const HEAD_END = '\r\n\r\n';

export interface RawRequest {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export class RawClient {
  readonly socket: Socket;
  /** Resolves when the socket is closed, whichever way. */
  readonly closed: Promise<void>;
  readonly #chunks: Buffer[] = [];
  readonly #lines: string[] = [];
  #text = '';
  #head: string | undefined;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.#take(chunk);
    });
    // A reset shows as `closed` too; the tests look at the bytes.
    socket.on('error', () => undefined);
    this.closed = new Promise((resolve) => {
      socket.on('close', () => {
        resolve();
      });
    });
  }

  /** Everything that has come so far. */
  get bytes(): Buffer {
    return Buffer.concat(this.#chunks);
  }

  /** What has come of the body. */
  get body(): string {
    return this.#head === undefined ? '' : this.bytes.toString('latin1').slice(this.#head.length + HEAD_END.length);
  }

  /** What has come of a line that has no end yet. */
  get partialLine(): string {
    return this.#text;
  }

  /** Resolves with the response's head, once it is there. */
  async head(): Promise<string> {
    await this.#waitFor(() => this.#head !== undefined, 'a response head');
    return this.#head ?? '';
  }

  /** Resolves with the first `count` complete lines of the body, without their newlines. */
  async lines(count: number): Promise<readonly string[]> {
    await this.#waitFor(() => this.#lines.length >= count, `${String(count)} lines`);
    return this.#lines.slice(0, count);
  }

  /** Complete lines so far that are no heartbeats. */
  get framesSoFar(): readonly string[] {
    return this.#lines.filter((line) => line !== '{}');
  }

  /** Resolves with the first `count` lines that are no heartbeats. */
  async frames(count: number): Promise<readonly string[]> {
    await this.#waitFor(
      () => this.#lines.length >= count && this.framesSoFar.length >= count,
      `${String(count)} frames`,
    );
    return this.framesSoFar.slice(0, count);
  }

  #take(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#text += chunk.toString('latin1');
    if (this.#head === undefined) {
      const end = this.#text.indexOf(HEAD_END);
      if (end === -1) return;
      this.#head = this.#text.slice(0, end);
      this.#text = this.#text.slice(end + HEAD_END.length);
    }
    const lines = this.#text.split('\n');
    this.#text = lines.pop() ?? '';
    for (const line of lines) this.#lines.push(line);
  }

  #waitFor(isDone: () => boolean, what: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const finish = (settle: () => void): void => {
        limit.cancel();
        this.socket.off('data', check);
        this.socket.off('close', fail);
        settle();
      };
      const fail = (): void => {
        finish(() => {
          reject(
            new Error(`Expected ${what}, got ${String(this.#lines.length)} lines and then ${this.#text.slice(0, 80)}`),
          );
        });
      };
      const check = (): void => {
        if (isDone()) finish(resolve);
      };
      const limit = systemClock.after(LIMIT_MS, fail);
      this.socket.on('data', check);
      this.socket.on('close', fail);
      check();
    });
  }
}

export function openRaw(port: number, path: string, request: RawRequest = {}): RawClient {
  const socket = connect(port, '127.0.0.1');
  const headers = Object.entries({ Host: 'nomad', ...request.headers }).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.write(`${request.method ?? 'GET'} ${path} HTTP/1.1\r\n${headers.join('')}\r\n`);
  return new RawClient(socket);
}
