/**
 * `GET /crashloops`: what loops now, as JSON; `GET /crashloops/<id>`: the crashes of one loop. `GET /`: a page that
 * shows it and keeps itself up to date. Routes of the admin server. The page loads nothing from elsewhere and runs no
 * script but its own; what the cluster calls its jobs is text to it and nothing else.
 */
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Clock } from '@hydrant/shared/foundation/clock';
import type { AdminRoutes } from '@hydrant/shared/runtime/admin/admin-server';
import type { Component } from '@hydrant/shared/runtime/component';
import type { Logger } from '@hydrant/shared/runtime/telemetry/logger';
import type { Ledger } from '../ledger/ledger.ts';
import type { Rules } from '../rules/choose-rule.ts';
import type { Answer } from './answer.ts';
import { LoopsReader } from './loops-reader.ts';
import { createNomadLinks } from './nomad-links.ts';
import { createOutlook, type Outlook } from './outlook.ts';
import { loadPageAssets } from './page-assets.ts';

export interface CrashLoopsPageOptions {
  readonly ledger: Pick<Ledger, 'openLoops'>;
  readonly rules: Rules;
  /** Null: no links. */
  readonly nomadUiUrl: string | null;
  /** What the detector can see. Default: nothing is said of it. */
  readonly outlook?: Pick<Outlook, 'view'>;
  readonly log: Logger;
  readonly clock: Clock;
}

const headers = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-resource-policy': 'same-origin',
  'cache-control': 'no-cache',
};

/**
 * Starts after its ledger: the admin server answers earlier than that, and an empty page would say that all is well.
 */
export interface CrashLoopsPage extends Component {
  readonly routes: AdminRoutes;
}

export function createCrashLoopsPage({
  ledger,
  rules,
  nomadUiUrl,
  log,
  clock,
  outlook = createOutlook({ connections: [], quietAfterMs: null, clock }),
}: CrashLoopsPageOptions): CrashLoopsPage {
  const { assets, version } = loadPageAssets();
  const links = nomadUiUrl === null ? null : createNomadLinks(nomadUiUrl);
  const reader = new LoopsReader({ ledger, rules, links, outlook, pageVersion: version, log, clock });
  function routes(app: Parameters<AdminRoutes>[0]): void {
    for (const { path, type, content, etag } of assets) {
      app.get(path, (request, reply) => {
        void reply.headers({ ...headers, etag }).type(type);
        return reply.code(isFresh(request, etag) ? 304 : 200).send(isFresh(request, etag) ? undefined : content);
      });
    }
    app.get<{ Querystring: { readonly after?: string | readonly string[] } }>('/crashloops', async (request, reply) => {
      const { after } = request.query;
      return send(request, reply, await reader.list(after === undefined ? undefined : String(after)));
    });
    app.get<{ Params: { readonly id: string } }>('/crashloops/:id', async (request, reply) =>
      send(request, reply, await reader.crashes(request.params.id)),
    );
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

async function send(request: FastifyRequest, reply: FastifyReply, answer: Answer): Promise<FastifyReply> {
  void reply
    .headers({ ...headers, etag: answer.etag, vary: 'accept-encoding' })
    .type('application/json; charset=utf-8')
    .code(answer.statusCode);
  if (answer.statusCode === 200 && isFresh(request, answer.etag)) return reply.code(304).send();
  if (!/\bgzip\b/u.test(String(request.headers['accept-encoding'] ?? ''))) return reply.send(answer.body);
  return reply.header('content-encoding', 'gzip').send(await answer.gzipped());
}

function isFresh(request: FastifyRequest, etag: string): boolean {
  return request.headers['if-none-match']?.split(',').some((known) => known.trim() === etag) === true;
}
