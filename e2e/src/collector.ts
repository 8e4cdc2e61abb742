/**
 * The destination of the guarantees: an HTTP server that takes NDJSON on `/events` and `/alerts`, answers 204, and
 * keeps hashes of events and the alerts themselves. A message counts as arrived only when the answer has been sent, so
 * what it holds is what a sink may consider delivered.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { gunzipSync } from 'node:zlib';
import { readEventHead } from '@hydrant/shared/messages/nomad-event';
import { hashOf, splitLines } from './event-hashes.ts';

export interface Alert {
  readonly Id: string;
  readonly Status: string;
  readonly Count: number;
  readonly LastEvent: { readonly JobID: string; readonly TaskName: string };
}

/** For good, or as a server that stumbles over what it was sent. */
type Refusal = 400 | 500;

/** What a test can make the destination do. */
export interface CollectorLevers {
  /** Answers 503 from now on, or takes everything again. */
  setDown(down: boolean): void;
  /** Cuts every connection without an answer from now on, or takes everything again. */
  setDead(dead: boolean): void;
  /** Keeps requests open and unanswered from now on, or answers again those that come. */
  setSilent(silent: boolean): void;
  /** Answers 503 to so many of ten requests from now on. */
  setFailing(ofTen: number): void;
  /** Answers 400 to every batch with an event of this hash. */
  refuse(hash: string): void;
  /** Answers 400, or as told, to every batch with such an event, from now on; undefined: takes everything again. */
  refuseWhere(isRefused: ((event: Buffer) => boolean) | undefined, status?: Refusal): void;
}

export interface Collector extends CollectorLevers {
  readonly url: string;
  /** How often each event (by hash of its bytes) has arrived. */
  readonly events: ReadonlyMap<string, number>;
  readonly alerts: readonly Alert[];
  /** The newest index of each object that has arrived. */
  readonly states: ReadonlyMap<string, number>;
  /** Requests that came, answered or not. */
  readonly requests: number;
  close(): Promise<void>;
}

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of request) if (Buffer.isBuffer(part)) parts.push(part);
  const body = Buffer.concat(parts);
  return request.headers['content-encoding'] === 'gzip' ? gunzipSync(body) : body;
}

function noteState(states: Map<string, number>, line: Buffer): void {
  const { topic, namespace, key, index } = readEventHead(line, 0, line.length);
  const identity = `${topic}/${namespace}/${key}`;
  states.set(identity, Math.max(index, states.get(identity) ?? 0));
}

interface Mood {
  readonly levers: CollectorLevers;
  /** What to answer, once for each request. */
  judge(path: string | undefined, lines: readonly Buffer[]): 204 | Refusal | 503 | 'cut' | 'silence';
  readonly requests: number;
}

function makeMood(): Mood {
  const refused = new Set<string>();
  let isRefused: ((event: Buffer) => boolean) | undefined;
  let refusal: Refusal = 400;
  let isDown = false;
  let isDead = false;
  let isSilent = false;
  let failingOfTen = 0;
  let requests = 0;
  return {
    levers: {
      setDown(down) {
        isDown = down;
      },
      setDead(dead) {
        isDead = dead;
      },
      setSilent(silent) {
        isSilent = silent;
      },
      setFailing(ofTen) {
        failingOfTen = ofTen;
      },
      refuse(hash) {
        refused.add(hash);
      },
      refuseWhere(test, status = 400) {
        isRefused = test;
        refusal = status;
      },
    },
    get requests() {
      return requests;
    },
    judge(path, lines) {
      requests += 1;
      if (isSilent) return 'silence';
      if (isDead) return 'cut';
      // Spread over the requests: 7 and 10 have no divisor in common.
      if (isDown || (requests * 7) % 10 < failingOfTen) return 503;
      if (path === '/alerts') return 204;
      return lines.some((line) => isRefused?.(line) === true || (refused.size > 0 && refused.has(hashOf(line))))
        ? refusal
        : 204;
    },
  };
}

async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string')
    throw new Error('Expected a TCP address from a server on port 0');
  return address.port;
}

export interface CollectorOptions {
  /** Takes each event that arrives; then `events` and `states` stay empty. For more events than memory should keep. */
  readonly take?: (event: Buffer) => void;
}

export async function startCollector(options: CollectorOptions = {}): Promise<Collector> {
  const events = new Map<string, number>();
  const alerts: Alert[] = [];
  const states = new Map<string, number>();
  const mood = makeMood();

  function keep(path: string | undefined, lines: readonly Buffer[]): void {
    for (const line of lines) {
      if (path === '/alerts') {
        alerts.push(JSON.parse(line.toString('utf8')) as Alert);
        continue;
      }
      if (options.take !== undefined) {
        options.take(line);
        continue;
      }
      const hash = hashOf(line);
      events.set(hash, (events.get(hash) ?? 0) + 1);
      noteState(states, line);
    }
  }

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const lines = splitLines(await readBody(request));
    const status = mood.judge(request.url, lines);
    if (status === 'silence') return;
    if (status === 'cut') {
      response.destroy();
      return;
    }
    if (status === 204) keep(request.url, lines);
    response.writeHead(status).end(status === 400 ? 'refused by the test' : undefined);
  }

  const server = createServer((request, response) => {
    answer(request, response).catch(() => {
      response.destroy();
    });
  });
  const port = await listen(server);
  return {
    ...mood.levers,
    url: `http://127.0.0.1:${String(port)}`,
    events,
    alerts,
    states,
    get requests() {
      return mood.requests;
    },
    async close() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}
