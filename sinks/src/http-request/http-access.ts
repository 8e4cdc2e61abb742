/**
 * How an HTTP destination is reached: certificates, proxy, and whether its certificate is looked at. The same settings
 * for every sink that speaks HTTP.
 */
import { bool } from '@hydrant/shared/runtime/config/formats';
import type { Setting } from '@hydrant/shared/runtime/config/setting';
import type { ProxyRules } from '@hydrant/shared/runtime/proxy/choose-proxy';
import { createProxyAgents, type ProxyAgents } from '@hydrant/shared/runtime/proxy/proxy-agents';
import { proxySettings, proxyUrl, readProxyRules } from '@hydrant/shared/runtime/proxy/proxy-settings';
import { tlsProblems, type TlsMaterial } from '@hydrant/shared/runtime/tls/read-tls';
import {
  readTlsOptions,
  tlsSettings,
  type TlsOptions,
  type TlsSettings,
} from '@hydrant/shared/runtime/tls/tls-settings';

/** `SINK_HTTP_CACERT`, `SINK_HTTP_PROXY`, … for the prefix `SINK_HTTP`. */
export type AccessSettings<P extends string> = TlsSettings<P> &
  typeof proxySettings &
  Readonly<Record<`${P}_PROXY`, Setting<string> & { readonly default: null }>> &
  Readonly<Record<`${P}_SKIP_VERIFY`, Setting<boolean> & { readonly default: boolean }>>;

export interface HttpAccess {
  readonly tls: TlsOptions;
  readonly skipVerify: boolean;
  readonly proxies: ProxyRules;
  readonly names: { readonly skipVerify: string };
}

/** `peer` as the documentation calls it. */
export function accessSettings<P extends string>(prefix: P, peer: string): AccessSettings<P> {
  const own = {
    [`${prefix}_SKIP_VERIFY`]: {
      doc: `Accept any certificate of ${peer}: whoever stands between can read and change what is sent. For tests.`,
      format: bool,
      default: false,
    },
    [`${prefix}_PROXY`]: {
      doc: `Proxy on the way to ${peer} alone; may hold user and password. None: that of \`HTTPS_PROXY\` or \`HTTP_PROXY\`. \`NO_PROXY\` holds for it too.`,
      format: proxyUrl,
      default: null,
      sensitive: true,
      example: 'http://proxy.example:3128',
    },
  };
  // The keys are those that the type has.
  return { ...tlsSettings(prefix, peer), ...own, ...proxySettings } as unknown as AccessSettings<P>;
}

export function readAccess(values: Readonly<Record<string, unknown>>, prefix: string): HttpAccess {
  const names = { skipVerify: `${prefix}_SKIP_VERIFY` };
  return {
    tls: readTlsOptions(values, prefix),
    skipVerify: values[names.skipVerify] === true,
    proxies: readProxyRules(values, `${prefix}_PROXY`),
    names,
  };
}

/** A sentence for each problem. */
export function accessProblems(values: Readonly<Record<string, unknown>>, prefix: string): readonly string[] {
  const { tls, skipVerify, names } = readAccess(values, prefix);
  const both =
    skipVerify && tls.caFile !== null
      ? [
          `Expected either \`${tls.names.caFile}\` or \`${names.skipVerify}\`, got both: with the second nobody looks at the authority`,
        ]
      : [];
  return [...tlsProblems(tls), ...both];
}

/** A proxy of one's own has a certificate of the same authority, but none of our business to see ours. */
export function createAgents(
  material: TlsMaterial,
  { skipVerify, proxies }: Pick<HttpAccess, 'skipVerify' | 'proxies'>,
): ProxyAgents {
  return createProxyAgents({
    rules: proxies,
    tls: { ...material, ...(skipVerify ? { rejectUnauthorized: false } : {}) },
    proxyCa: material.ca,
    keepAlive: true,
  });
}
