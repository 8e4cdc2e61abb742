/**
 * The destination of the guarantees: an HTTP server that takes NDJSON on `/events` and `/alerts`, answers 204, and keeps hashes of events and the alerts themselves.
 * A message counts as arrived only when the answer has been sent, so what it holds is what a sink may consider delivered.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { gunzipSync } from 'node:zlib';
import { hashOf, splitLines } from './event-hashes.ts';

export interface Alert {
  readonly Id: string;
  readonly Status: string;
  readonly Count: number;
  readonly LastEvent: { readonly JobID: string; readonly TaskName: string };
}

export interface Collector {
  readonly url: string;
  /** How often each event (by hash of its bytes) has arrived. */
  readonly events: ReadonlyMap<string, number>;
  readonly alerts: readonly Alert[];
  /** Answers 503 from now on, or takes everything again. */
  setDown(down: boolean): void;
  /** Answers 400 to every batch with an event of this hash. */
  refuse(hash: string): void;
  close(): Promise<void>;
}

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of request) if (Buffer.isBuffer(part)) parts.push(part);
  const body = Buffer.concat(parts);
  return request.headers['content-encoding'] === 'gzip' ? gunzipSync(body) : body;
}

export async function startCollector(): Promise<Collector> {
  const events = new Map<string, number>();
  const alerts: Alert[] = [];
  const refused = new Set<string>();
  let isDown = false;

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const lines = splitLines(await readBody(request));
    if (isDown) {
      response.writeHead(503).end();
      return;
    }
    if (request.url === '/alerts') {
      for (const line of lines) alerts.push(JSON.parse(line.toString('utf8')) as Alert);
      response.writeHead(204).end();
      return;
    }
    const hashes = lines.map(hashOf);
    if (hashes.some((hash) => refused.has(hash))) {
      response.writeHead(400).end('refused by the test');
      return;
    }
    for (const hash of hashes) events.set(hash, (events.get(hash) ?? 0) + 1);
    response.writeHead(204).end();
  }

  const server = createServer((request, response) => {
    answer(request, response).catch(() => { response.destroy(); });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('Expected a TCP address from a server on port 0');
  return {
    url: `http://127.0.0.1:${String(address.port)}`,
    events,
    alerts,
    setDown(down) {
      isDown = down;
    },
    refuse(hash) {
      refused.add(hash);
    },
    async close() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}
