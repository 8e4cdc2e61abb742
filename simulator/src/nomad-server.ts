/**
 * The HTTP server that stands for a Nomad agent: routes, and the faults that concern every endpoint.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Faults } from './faults.ts';
import type { ListEndpoint } from './list-endpoint.ts';
import { listNames } from './lists.ts';
import { answerText, readUrl } from './requests.ts';
import type { StreamEndpoint } from './stream-endpoint.ts';

export interface NomadServerPorts {
  readonly faults: Faults;
  readonly streams: StreamEndpoint;
  readonly lists: ListEndpoint;
}

const PREFIX = '/v1/';
const AGENT = {
  config: {
    Datacenter: 'dc1',
    Name: 'simulator',
    Region: 'global',
    Version: { Version: '2.0.6', VersionPrerelease: 'dev' },
  },
  member: { Name: 'simulator.global', Status: 'alive', Tags: { dc: 'dc1', region: 'global', role: 'nomad' } },
  stats: { nomad: { leader: 'true', server: 'true' } },
};
const HTML = '<!doctype html><html><head><title>Sign in</title></head><body><h1>Sign in</h1></body></html>\n';

export class NomadServer {
  readonly #ports: NomadServerPorts;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #host = '';
  #port = 0;

  constructor(ports: NomadServerPorts) {
    this.#ports = ports;
    this.#server = createServer((request, response) => {
      this.#handle(request, response);
    });
    this.#server.on('connection', (socket) => {
      this.#track(socket);
    });
  }

  get port(): number {
    return this.#port;
  }

  async listen(host: string, port: number): Promise<void> {
    await listen(this.#server, host, port);
    this.#host = host;
    this.#port = (this.#server.address() as AddressInfo).port;
  }

  /** New connections are refused; open ones go on. */
  stopListening(): void {
    this.#server.close();
  }

  async listenAgain(): Promise<void> {
    if (!this.#server.listening) await listen(this.#server, this.#host, this.#port);
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => {
      this.#server.close(() => {
        resolve();
      });
    });
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #track(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('close', () => {
      this.#sockets.delete(socket);
    });
    // A reader that goes away is no fault of the simulator: `close` follows and ends what belongs to the socket.
    socket.on('error', () => undefined);
  }

  #handle(request: IncomingMessage, response: ServerResponse): void {
    const { mode } = this.#ports.faults;
    if (mode === 'refuse') request.socket.destroy();
    else if (mode === 'error') answerText(response, 500, 'Internal server error');
    else if (mode === 'html')
      response.writeHead(200, { 'Content-Type': 'text/html', 'Content-Length': HTML.length }).end(HTML);
    else this.#route(request, response);
  }

  #route(request: IncomingMessage, response: ServerResponse): void {
    const { pathname } = readUrl(request);
    const list = listNames.find((name) => pathname === PREFIX + name);
    const object = readObjectPath(pathname);
    if (pathname === `${PREFIX}event/stream`) this.#openStream(request, response);
    else if (list !== undefined && request.method === 'GET') {
      this.#ports.lists.handle(list, request, response).catch((error: unknown) => {
        answerText(response, 500, String(error));
      });
    } else if (list !== undefined) answerText(response, 405, 'Invalid method');
    else if (object !== undefined) this.#ports.lists.handleObject(object.list, object.key, request, response);
    else if (pathname === `${PREFIX}acl/tokens`) this.#ports.lists.handleTokens(request, response);
    else if (pathname === `${PREFIX}agent/self`) this.#answerAgent(request, response);
    else answerText(response, 404, 'Not found');
  }

  /** A stalled server takes the request and says nothing until the fault is over. */
  #openStream(request: IncomingMessage, response: ServerResponse): void {
    const { faults, streams } = this.#ports;
    if (faults.mode !== 'stall') {
      streams.handle(request, response);
      return;
    }
    const release = faults.onChange(() => {
      release();
      if (!request.socket.destroyed) this.#handle(request, response);
    });
    request.socket.once('close', release);
  }

  #answerAgent(request: IncomingMessage, response: ServerResponse): void {
    if (this.#ports.lists.isDenied(request)) {
      answerText(response, 403, 'Permission denied');
      return;
    }
    const body = JSON.stringify(AGENT);
    response
      .writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) })
      .end(body);
  }
}

function readObjectPath(pathname: string): { readonly list: 'jobs' | 'nodes'; readonly key: string } | undefined {
  const [, kind, key] = /^\/v1\/(job|node)\/(.+)$/u.exec(pathname) ?? [];
  return key === undefined ? undefined : { list: kind === 'job' ? 'jobs' : 'nodes', key: decodeURIComponent(key) };
}

/** Resolves when `server` listens; rejects with what kept it from doing so. */
export function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve();
    });
  });
}
