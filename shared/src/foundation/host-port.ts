/** Addresses that are no URLs. */
export interface HostPort {
  readonly host: string;
  readonly port: number;
}

/** `host:port`, `[::1]:port`; undefined when it is neither. */
export function parseAddress(address: string): HostPort | undefined {
  const [, bracketed, host, digits] = /^(?:\[([^\]]+)\]|([^:[\]\s@/]+)):(\d{1,5})$/u.exec(address) ?? [];
  const port = Number(digits);
  const name = bracketed ?? host;
  return name === undefined || port < 1 || port > 65_535 ? undefined : { host: name, port };
}
