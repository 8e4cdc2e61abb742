/**
 * The port for operators: `/livez` (the event loop turns), `/readyz` (each dependency by name), `/metrics`, and what a
 * service adds. On loopback unless told otherwise, for requests to names that are its own (allowed-hosts.ts).
 */
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { fastify, type FastifyError, type FastifyInstance } from 'fastify';
import { describeError, errorCode, HydrantError } from '../../foundation/errors.ts';
import type { Component } from '../component.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { createHostCheck } from './allowed-hosts.ts';
import type { Health, HealthCheck } from './health.ts';

/** Adds routes beside those of the server. Called once, before it listens. */
export type AdminRoutes = (app: FastifyInstance) => void;

export interface AdminServerOptions {
  readonly host: string;
  readonly port: number;
  /** Names beside those that are always its own. Default none. */
  readonly allowedHosts?: readonly string[];
  readonly metrics: Metrics;
  readonly healthChecks: readonly HealthCheck[];
  readonly routes?: readonly AdminRoutes[];
  readonly log: Logger;
}

export interface AdminServer extends Component {
  /** Where it listens; with port 0, the port it got. */
  readonly address: { readonly host: string; readonly port: number };
  /** From now on `/readyz` is 503, so that nobody sends new work. */
  setDraining(): void;
}

export interface Readiness {
  readonly status: 'pass' | 'fail';
  readonly checks: Readonly<Record<string, Health>>;
}

export interface ReadinessOptions {
  readonly isDraining: boolean;
  /** Details of what is well, too. */
  readonly isVerbose: boolean;
}

/** `pass` when every check passes and the service is not draining. A check that fails always says why. */
export function readReadiness(
  healthChecks: readonly HealthCheck[],
  { isDraining, isVerbose }: ReadinessOptions,
): Readiness {
  const entries = healthChecks.map((healthCheck) => [healthCheck.name, read(healthCheck)] as const);
  if (isDraining) entries.push(['process', { status: 'fail', detail: 'is shutting down' }]);
  const isReady = entries.every(([, health]) => health.status === 'pass');
  const shown = entries.map(
    ([name, health]) => [name, isVerbose || health.status === 'fail' ? health : { status: health.status }] as const,
  );
  return { status: isReady ? 'pass' : 'fail', checks: Object.fromEntries(shown) };
}

function read(healthCheck: HealthCheck): Health {
  try {
    return healthCheck.check();
  } catch (error) {
    return { status: 'fail', detail: `its check failed: ${describeError(error)}` };
  }
}

export function createAdminServer({
  host,
  port,
  allowedHosts = [],
  metrics,
  healthChecks,
  routes = [],
  log,
}: AdminServerOptions): AdminServer {
  let isDraining = false;
  let address = { host, port };
  metrics.gauge({
    name: 'hydrant_dependency_ready',
    help: '1 while /readyz finds it in order, for each dependency',
    labels: ['dependency'],
    readEach: () =>
      Object.entries(readReadiness(healthChecks, { isDraining, isVerbose: false }).checks).map(
        ([dependency, { status }]) => ({ labels: { dependency }, value: status === 'pass' ? 1 : 0 }),
      ),
  });
  const app: FastifyInstance = fastify({
    logger: false,
    forceCloseConnections: true,
    serverFactory: (answer) => createGuardedServer(answer, createHostCheck([host, ...allowedHosts])),
  });

  app.get('/livez', () => ({ status: 'pass' }));
  app.get<{ Querystring: Readonly<Record<string, unknown>> }>('/readyz', (request, reply) => {
    const readiness = readReadiness(healthChecks, { isDraining, isVerbose: 'verbose' in request.query });
    return reply.code(readiness.status === 'pass' ? 200 : 503).send(readiness);
  });
  app.get('/metrics', async (_request, reply) => reply.type(metrics.contentType).send(await metrics.text()));
  for (const addRoutes of routes) addRoutes(app);
  app.setErrorHandler<FastifyError>(async (err, request, reply) => {
    const statusCode = err.statusCode ?? 500;
    if (statusCode >= 500) log.error({ err, path: request.url }, 'Admin server cannot answer');
    return reply.code(statusCode).send({ status: 'fail' });
  });

  return {
    name: 'admin',
    get address() {
      return address;
    },
    setDraining() {
      isDraining = true;
    },
    async start() {
      try {
        await app.listen({ host, port });
      } catch (error) {
        throw explainListenError(error, host, port);
      }
      const bound = app.addresses()[0];
      if (typeof bound === 'object') address = { host, port: bound.port };
      log.info({ address: `http://${showHost(host)}:${String(address.port)}` }, 'Admin server listens');
    },
    async stop() {
      await app.close();
    },
  };
}

/** On every answer, that of an error too. A page may say more of itself. */
const headers = {
  'x-content-type-options': 'nosniff',
  'content-security-policy': "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
} as const;

function createGuardedServer(answer: RequestListener, isAllowed: (host: string | undefined) => boolean): Server {
  const server = createServer((request: IncomingMessage, response: ServerResponse) => {
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
    if (isAllowed(request.headers.host)) answer(request, response);
    else refuseHost(response);
  });
  return server.on('clientError', refuseMalformed);
}

function refuseHost(response: ServerResponse): void {
  const text =
    'Hydrant does not answer to the name in the Host of this request. Ask by address or as localhost, or set HTTP_ALLOWED_HOSTS to the name.\n';
  // The body is not read: the connection ends with the answer.
  response.writeHead(421, { 'content-type': 'text/plain; charset=utf-8', connection: 'close' }).end(text);
}

/** What is no HTTP has no request to answer. */
function refuseMalformed(_error: Error, socket: Duplex): void {
  if (!socket.writable) return;
  socket.end(
    'HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\nX-Content-Type-Options: nosniff\r\n\r\n',
  );
}

function showHost(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}

const advices: Readonly<Record<string, string>> = {
  EADDRINUSE: 'another program has that port; set HTTP_PORT to a free one, or to 0 for any',
  EACCES: 'this user may not take that port; set HTTP_PORT to one above 1023',
  EADDRNOTAVAIL: 'this machine does not have that address; set HTTP_HOST to one it has, such as 127.0.0.1 or 0.0.0.0',
  ENOTFOUND: 'that name has no address; set HTTP_HOST to an address of this machine, such as 127.0.0.1 or 0.0.0.0',
};

function explainListenError(error: unknown, host: string, port: number): HydrantError {
  const advice = advices[errorCode(error) ?? ''] ?? 'look at HTTP_HOST and HTTP_PORT';
  return new HydrantError(`Expected to listen on ${showHost(host)}:${String(port)}, could not: ${advice}`, {
    code: 'admin-listen',
    retryable: false,
    cause: error,
  });
}
