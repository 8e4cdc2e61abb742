/**
 * What every endpoint needs of a request: its parameters, its token, and short answers in Nomad's manner.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';

export function readUrl(request: IncomingMessage): URL {
  return new URL(request.url ?? '/', 'http://nomad.invalid');
}

/** X-Nomad-Token, or else the bearer token. */
export function readToken(request: IncomingMessage): string {
  const token = request.headers['x-nomad-token'];
  if (typeof token === 'string') return token;
  return /^bearer +(.+)$/i.exec(request.headers.authorization ?? '')?.[1] ?? '';
}

export function answerText(response: ServerResponse, status: number, text: string): void {
  response
    .writeHead(status, { 'Content-Type': 'text/plain; charset=utf-8', 'Content-Length': Buffer.byteLength(text) })
    .end(text);
}
