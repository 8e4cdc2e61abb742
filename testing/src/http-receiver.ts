/** An HTTP server that keeps what it is sent and answers as the test says. */
import { createServer } from 'node:http';
import type { IncomingHttpHeaders, IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { readHelperArguments } from './test-like.ts';
import type { TestLike } from './test-like.ts';

export interface ReceivedRequest {
  readonly method: string;
  /** With the query. */
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  /** Unpacked when it came with `Content-Encoding: gzip`. */
  readonly body: Buffer;
}

export interface Reply {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

/** `hang`: never answers. `reset`: cuts the connection. */
export type Answer = Reply | 'hang' | 'reset';

/** `index` counts requests from 0. */
export type AnswerFunction = (request: ReceivedRequest, index: number) => Answer | Promise<Answer>;

export interface HttpReceiverOptions {
  /** Default: always 200. */
  readonly answer?: AnswerFunction;
  /** Default any free port. */
  readonly port?: number;
  /** Most bytes of one body, default 64 MiB; above it the answer is 413. */
  readonly maxBodyBytes?: number;
  /** Most bytes kept in `requests`, default 512 MiB; above it the answer is 507. */
  readonly maxKeptBytes?: number;
}

export interface HttpReceiver {
  readonly url: string;
  readonly port: number;
  /** Those that were answered or are being answered, in the order they were complete. */
  readonly requests: readonly ReceivedRequest[];
  /** From now on. */
  answer(answer: AnswerFunction): void;
  /** Forgets the requests; `index` goes on counting. */
  clear(): void;
  /** Safe to call twice; called by itself when a test was given. */
  close(): Promise<void>;
}

export async function startHttpReceiver(
  first?: TestLike | HttpReceiverOptions,
  second?: HttpReceiverOptions,
): Promise<HttpReceiver> {
  const { test, options } = readHelperArguments<HttpReceiverOptions>(first, second);
  const receiver = new NodeHttpReceiver(options ?? {});
  await receiver.listen();
  test?.teardown(() => receiver.close());
  return receiver;
}

class NodeHttpReceiver implements HttpReceiver {
  readonly requests: ReceivedRequest[] = [];
  readonly #options: HttpReceiverOptions;
  readonly #server: Server;
  #answer: AnswerFunction;
  #count = 0;
  #keptBytes = 0;

  constructor(options: HttpReceiverOptions) {
    this.#options = options;
    this.#answer = options.answer ?? (() => ({ status: 200 }));
    this.#server = createServer((request, response) => {
      this.#receive(request, response).catch((thrown: unknown) => {
        reply(response, { status: 500, body: String(thrown) });
      });
    });
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  listen(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(this.#options.port ?? 0, '127.0.0.1', resolve);
    });
  }

  answer(answer: AnswerFunction): void {
    this.#answer = answer;
  }

  clear(): void {
    this.requests.length = 0;
    this.#keptBytes = 0;
  }

  async close(): Promise<void> {
    if (!this.#server.listening) return;
    const closed = new Promise((resolve) => {
      this.#server.close(resolve);
    });
    this.#server.closeAllConnections();
    await closed;
  }

  async #receive(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const raw = await readBody(request, this.#options.maxBodyBytes ?? 64 * 1024 * 1024);
    if (raw === 'broken') return;
    if (raw === 'too-large') {
      reply(response, { status: 413 });
      return;
    }
    const body = request.headers['content-encoding'] === 'gzip' ? await promisify(gunzip)(raw) : raw;
    if (this.#keptBytes + body.length > (this.#options.maxKeptBytes ?? 512 * 1024 * 1024)) {
      reply(response, { status: 507, body: 'The receiver is full' });
      return;
    }
    this.#keptBytes += body.length;
    const received = { method: request.method ?? '', path: request.url ?? '', headers: request.headers, body };
    this.requests.push(received);
    const index = this.#count;
    this.#count += 1;
    const answer = await this.#answer(received, index);
    if (answer === 'hang') return;
    if (answer === 'reset') request.socket.resetAndDestroy();
    else reply(response, answer);
  }
}

async function readBody(request: IncomingMessage, maxBytes: number): Promise<Buffer | 'too-large' | 'broken'> {
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of request as AsyncIterable<Buffer>) {
      length += chunk.length;
      if (length <= maxBytes) chunks.push(chunk);
    }
  } catch {
    // The sender went away in the middle: no request.
    return 'broken';
  }
  return length > maxBytes ? 'too-large' : Buffer.concat(chunks);
}

function reply(response: ServerResponse, answer: Reply): void {
  if (response.headersSent) return;
  response.writeHead(answer.status, answer.headers ?? {});
  response.end(answer.body ?? '');
}
