/** How an HTTP destination is reached: certificates, proxy, and whether its certificate is looked at. The same settings for every sink that speaks HTTP. */
import { bool, url } from '@hydrant/shared/runtime/config/formats';
import type { Setting } from '@hydrant/shared/runtime/config/setting';
import { tlsProblems, type TlsMaterial } from '@hydrant/shared/runtime/tls/read-tls';
import { readTlsOptions, tlsSettings, type TlsOptions, type TlsSettings } from '@hydrant/shared/runtime/tls/tls-settings';
import type { Agent, EnvHttpProxyAgent } from 'undici';

/** `SINK_HTTP_CACERT`, `SINK_HTTP_PROXY`, … for the prefix `SINK_HTTP`. */
export type AccessSettings<P extends string> = TlsSettings<P>
  & Readonly<Record<`${P}_PROXY`, Setting<string> & { readonly default: null }>>
  & Readonly<Record<`${P}_SKIP_VERIFY`, Setting<boolean> & { readonly default: boolean }>>;

export interface HttpAccess {
  readonly tls: TlsOptions;
  readonly skipVerify: boolean;
  /** May hold user and password. */
  readonly proxy: string | undefined;
  readonly names: { readonly proxy: string; readonly skipVerify: string };
}

/** `peer` as the documentation calls it. */
export function accessSettings<P extends string>(prefix: P, peer: string): AccessSettings<P> {
  const own = {
    [`${prefix}_SKIP_VERIFY`]: { doc: `Accept any certificate of ${peer}: whoever stands between can read and change what is sent. For tests.`, format: bool, default: false },
    [`${prefix}_PROXY`]: {
      doc: `Proxy on the way to ${peer}; may hold user and password. None: as the environment says in \`HTTPS_PROXY\`, \`HTTP_PROXY\` and \`NO_PROXY\`.`,
      format: url(['http:', 'https:']),
      default: null,
      sensitive: true,
      example: 'http://proxy.example:3128',
    },
  };
  // The keys are those that the type has.
  return { ...tlsSettings(prefix, peer), ...own } as unknown as AccessSettings<P>;
}

export function readAccess(values: Readonly<Record<string, unknown>>, prefix: string): HttpAccess {
  const names = { proxy: `${prefix}_PROXY`, skipVerify: `${prefix}_SKIP_VERIFY` };
  const proxy = values[names.proxy];
  return { tls: readTlsOptions(values, prefix), skipVerify: values[names.skipVerify] === true, proxy: typeof proxy === 'string' ? proxy : undefined, names };
}

/** A sentence for each problem. */
export function accessProblems(values: Readonly<Record<string, unknown>>, prefix: string): readonly string[] {
  const { tls, skipVerify, names } = readAccess(values, prefix);
  const both = skipVerify && tls.caFile !== null ? [`Expected either \`${tls.names.caFile}\` or \`${names.skipVerify}\`, got both: with the second nobody looks at the authority`] : [];
  return [...tlsProblems(tls), ...both];
}

/** As Go's clients do: what runs on the same machine is not asked for through a proxy, unless a setting says so. */
export function isLoopback(address: string): boolean {
  const { hostname } = new URL(address);
  return hostname === 'localhost' || hostname === '[::1]' || /^127\.\d+\.\d+\.\d+$/u.test(hostname);
}

/** For undici's agents. n.b. its own limits would end a slow answer before SINK_TIMEOUT does. */
export function agentOptions(material: TlsMaterial, { skipVerify, proxy }: Pick<HttpAccess, 'skipVerify' | 'proxy'>): Agent.Options & EnvHttpProxyAgent.Options {
  const tls = { ...material, ...(skipVerify ? { rejectUnauthorized: false } : {}) };
  const { ca } = material;
  return {
    headersTimeout: 0,
    bodyTimeout: 0,
    connect: tls,
    requestTls: tls,
    // A proxy of one's own has a certificate of the same authority, but none of our business to see ours.
    proxyTls: ca === undefined ? {} : { ca },
    ...(proxy === undefined ? {} : { httpProxy: proxy, httpsProxy: proxy }),
  };
}
