/**
 * `GET /crashloops`: what loops now, as JSON. `GET /`: a page that shows it and keeps itself up to date. Routes of the admin server.
 * The page loads nothing from elsewhere and runs no script but its own; what the cluster calls its jobs is text to it and nothing else.
 */
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Clock } from '@hydrant/shared/foundation/clock';
import type { AdminRoutes } from '@hydrant/shared/runtime/admin/admin-server';
import type { Component } from '@hydrant/shared/runtime/component';
import type { Logger } from '@hydrant/shared/runtime/telemetry/logger';
import type { Ledger } from '../ledger/ledger.ts';
import type { Rules } from '../rules/choose-rule.ts';
import { LoopsReader } from './loops-reader.ts';
import { createNomadLinks } from './nomad-links.ts';
import { loadPageAssets } from './page-assets.ts';

export interface CrashLoopsPageOptions {
  readonly ledger: Pick<Ledger, 'openLoops'>;
  readonly rules: Rules;
  /** Null: no links. */
  readonly nomadUiUrl: string | null;
  readonly log: Logger;
  readonly clock: Clock;
}

const headers = {
  'content-security-policy': "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-resource-policy': 'same-origin',
  'cache-control': 'no-cache',
};

/** Starts after its ledger: the admin server answers earlier than that, and an empty page would say that all is well. */
export interface CrashLoopsPage extends Component {
  readonly routes: AdminRoutes;
}

export function createCrashLoopsPage({ ledger, rules, nomadUiUrl, log, clock }: CrashLoopsPageOptions): CrashLoopsPage {
  const { assets, version } = loadPageAssets();
  const links = nomadUiUrl === null ? null : createNomadLinks(nomadUiUrl);
  const reader = new LoopsReader({ ledger, rules, links, pageVersion: version, log, clock });
  function routes(app: Parameters<AdminRoutes>[0]): void {
    for (const { path, type, content, etag } of assets) {
      app.get(path, (request, reply) => {
        void reply.headers({ ...headers, etag }).type(type);
        return reply.code(isFresh(request, etag) ? 304 : 200).send(isFresh(request, etag) ? undefined : content);
      });
    }
    app.get('/crashloops', async (request, reply) => sendLoops(request, reply, reader));
  }
  return {
    name: 'crash-loops-page',
    routes,
    start() {
      reader.isOpen = true;
      return Promise.resolve();
    },
    stop() {
      reader.isOpen = false;
      return Promise.resolve();
    },
  };
}

async function sendLoops(request: FastifyRequest, reply: FastifyReply, reader: LoopsReader): Promise<FastifyReply> {
  const answer = await reader.read();
  void reply.headers({ ...headers, etag: answer.etag, vary: 'accept-encoding' }).type('application/json; charset=utf-8').code(answer.statusCode);
  if (answer.statusCode === 200 && isFresh(request, answer.etag)) return reply.code(304).send();
  if (!/\bgzip\b/u.test(String(request.headers['accept-encoding'] ?? ''))) return reply.send(answer.body);
  return reply.header('content-encoding', 'gzip').send(await answer.gzipped());
}

function isFresh(request: FastifyRequest, etag: string): boolean {
  return request.headers['if-none-match']?.split(',').some((known) => known.trim() === etag) === true;
}
