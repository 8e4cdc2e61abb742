/**
 * The port for operators: `/livez` (the event loop turns), `/readyz` (each dependency by name), `/metrics`. On loopback unless told otherwise.
 */
import { fastify, type FastifyInstance } from 'fastify';
import { errorCode, HydrantError } from '../../foundation/errors.ts';
import type { Component } from '../component.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { HealthCheck } from './health.ts';

export interface AdminServerOptions {
  readonly host: string;
  readonly port: number;
  readonly metrics: Metrics;
  readonly healthChecks: readonly HealthCheck[];
  readonly log: Logger;
}

export interface AdminServer extends Component {
  /** Where it listens; with port 0, the port it got. */
  readonly address: { readonly host: string; readonly port: number };
  /** From now on `/readyz` is 503, so that nobody sends new work. */
  setDraining(): void;
}

interface Readiness {
  readonly status: 'pass' | 'fail';
  readonly checks: Readonly<Record<string, { readonly status: 'pass' | 'fail'; readonly detail?: string }>>;
}

/** `pass` when every check passes and the service is neither starting nor draining. */
export function readReadiness(healthChecks: readonly HealthCheck[], phase: 'running' | 'draining'): Readiness {
  const entries = healthChecks.map((healthCheck) => [healthCheck.name, healthCheck.check()] as const);
  if (phase === 'draining') entries.push(['process', { status: 'fail', detail: 'is shutting down' }]);
  const isReady = entries.every(([, health]) => health.status === 'pass');
  return { status: isReady ? 'pass' : 'fail', checks: Object.fromEntries(entries) };
}

export function createAdminServer({ host, port, metrics, healthChecks, log }: AdminServerOptions): AdminServer {
  let phase: 'running' | 'draining' = 'running';
  let address = { host, port };
  const app: FastifyInstance = fastify({ logger: false, forceCloseConnections: true });

  app.get('/livez', () => ({ status: 'pass' }));
  app.get('/readyz', (_request, reply) => {
    const readiness = readReadiness(healthChecks, phase);
    return reply.code(readiness.status === 'pass' ? 200 : 503).send(readiness);
  });
  app.get('/metrics', async (_request, reply) => reply.type(metrics.contentType).send(await metrics.text()));

  return {
    name: 'admin',
    get address() {
      return address;
    },
    setDraining() {
      phase = 'draining';
    },
    async start() {
      try {
        await app.listen({ host, port });
      } catch (error) {
        throw explainListenError(error, host, port);
      }
      const bound = app.addresses()[0];
      if (typeof bound === 'object') address = { host, port: bound.port };
      log.info({ address: `http://${host}:${String(address.port)}` }, 'Admin server listens');
    },
    async stop() {
      await app.close();
    },
  };
}

function explainListenError(error: unknown, host: string, port: number): HydrantError {
  const advice = errorCode(error) === 'EADDRINUSE' ? 'another program has it; set HTTP_PORT to a free one, or 0 for any' : 'look at HTTP_HOST and HTTP_PORT';
  return new HydrantError(`Expected to listen on ${host}:${String(port)}, could not: ${advice}`, { code: 'admin-listen', retryable: false, cause: error });
}
