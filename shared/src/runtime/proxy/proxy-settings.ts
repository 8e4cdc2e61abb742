/** The settings of proxies, under the names that every program knows them by. */
import type { Format } from '../config/formats.ts';
import { list } from '../config/formats.ts';
import type { Schema } from '../config/setting.ts';
import type { ProxyRules } from './choose-proxy.ts';

/** n.b. as in other programs `proxy.example:3128` alone is one that is spoken to by HTTP. */
export const proxyUrl: Format<string> = {
  name: 'URL of a proxy',
  expected:
    'the address of an HTTP proxy, such as "http://proxy.example:3128" (http:// or https://; a SOCKS proxy is not supported)',
  parse(raw) {
    const word = typeof raw === 'string' ? raw.trim() : '';
    const address = /^[a-z][a-z0-9+.-]*:\/\//iu.test(word) ? word : `http://${word}`;
    if (!URL.canParse(address)) return undefined;
    const { protocol, hostname, pathname, search, hash } = new URL(address);
    return /^https?:$/u.test(protocol) && hostname !== '' && `${pathname}${search}${hash}` === '/'
      ? address
      : undefined;
  },
};

/** As Go reads them: the name in capitals comes first. */
export const proxySettings = {
  HTTPS_PROXY: {
    doc: 'Proxy on the way to `https://` addresses; may hold user and password.',
    format: proxyUrl,
    default: null,
    sensitive: true,
    example: 'http://proxy.example:3128',
    aliases: ['https_proxy'],
  },
  HTTP_PROXY: {
    doc: 'The same for `http://` addresses.',
    format: proxyUrl,
    default: null,
    sensitive: true,
    example: 'http://proxy.example:3128',
    aliases: ['http_proxy'],
  },
  NO_PROXY: {
    doc: 'What is reached without a proxy: `example.com` (with all below it), `.example.com` (all below it), an IP, `10.0.0.0/8`, each with `:port` or without, separated by commas; `*` is everything.',
    format: list,
    default: null,
    example: '.internal.example,10.0.0.0/8',
    aliases: ['no_proxy'],
  },
} as const satisfies Schema;

/**
 * What the settings say. `own` is the setting of a proxy for one destination, which comes before those of the
 * environment.
 */
export function readProxyRules(values: Readonly<Record<string, unknown>>, own?: string): ProxyRules {
  const read = (name: string): string | undefined => {
    const value = values[name];
    return typeof value === 'string' ? value : undefined;
  };
  const noProxy = values['NO_PROXY'];
  const ownProxy = own === undefined ? undefined : read(own);
  return {
    own: ownProxy === undefined || own === undefined ? undefined : { url: ownProxy, setting: own },
    https: read('HTTPS_PROXY'),
    http: read('HTTP_PROXY'),
    noProxy: Array.isArray(noProxy) ? noProxy.filter((word) => typeof word === 'string') : [],
  };
}
