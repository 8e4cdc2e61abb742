/**
 * Whether a proxy stands on the way to an address, and which. Pure, by the rules of Go
 * (golang.org/x/net/http/httpproxy), which are those of curl but for `.example.com`.
 */
import { BlockList, isIP, isIPv6 } from 'node:net';

export interface ProxyRules {
  /** For one destination alone; it stands on the way to this machine too. */
  readonly own?: { readonly url: string; readonly setting: string } | undefined;
  readonly https: string | undefined;
  readonly http: string | undefined;
  readonly noProxy: readonly string[];
}

export const noProxies: ProxyRules = { https: undefined, http: undefined, noProxy: [] };

export interface Peer {
  readonly protocol: 'http:' | 'https:';
  /** An IPv6 address with brackets or without. */
  readonly host: string;
  readonly port: number;
}

export interface ChosenProxy {
  /** May hold user and password. */
  readonly url: string;
  /** Where it comes from. */
  readonly setting: string;
}

/** Undefined: directly. */
export function chooseProxy({ own, https, http, noProxy }: ProxyRules, peer: Peer): ChosenProxy | undefined {
  const host = peer.host
    .toLowerCase()
    .replace(/^\[(.*)\]$/u, '$1')
    .replace(/\.$/u, '');
  if (noProxy.some((entry) => covers(entry.toLowerCase(), host, peer.port))) return undefined;
  if (own !== undefined) return own;
  if (isLoopback(host)) return undefined;
  const [url, setting] =
    peer.protocol === 'https:' ? ([https, 'HTTPS_PROXY'] as const) : ([http, 'HTTP_PROXY'] as const);
  return url === undefined ? undefined : { url, setting };
}

/** Whether it is this machine. */
function isLoopback(host: string): boolean {
  return host === 'localhost' || (isIP(host) !== 0 && isWithin('127.0.0.0', 8, host)) || host === '::1';
}

/** Whether an entry of NO_PROXY means that host and port. */
function covers(entry: string, host: string, port: number): boolean {
  if (entry === '*') return true;
  const [, network = '', bits = ''] = /^\[?([0-9a-f.:]+)\]?\/(\d{1,3})$/u.exec(entry) ?? [];
  if (network !== '') return isIP(host) !== 0 && isWithin(network, Number(bits), host);
  const [, bracketed, plain = '', ending] = /^(?:\[([^\]]+)\]|([^:]*|[0-9a-f:.]+))(?::(\d{1,5}))?$/u.exec(entry) ?? [];
  if (isIPv6(entry)) return isWithin(entry, 128, host);
  if (ending !== undefined && Number(ending) !== port) return false;
  const name = (bracketed ?? plain).replace(/\.$/u, '');
  if (isIP(name) !== 0) return isIP(host) !== 0 && isWithin(name, isIPv6(name) ? 128 : 32, host);
  const domain = name.replace(/^\*(?=\.)/u, '');
  if (domain === '' || domain === '.') return false;
  return domain.startsWith('.') ? host.endsWith(domain) : host === domain || host.endsWith(`.${domain}`);
}

function isWithin(network: string, bits: number, address: string): boolean {
  const family = isIPv6(network) ? 'ipv6' : 'ipv4';
  if (isIP(network) === 0 || isIP(address) === 0 || bits > (family === 'ipv6' ? 128 : 32)) return false;
  const list = new BlockList();
  list.addSubnet(network, bits, family);
  return list.check(address, isIPv6(address) ? 'ipv6' : 'ipv4');
}
