/** The addresses that NOMAD_ADDR lists: `http://`, `https://` and `unix://`, as Nomad's own client reads them. */

export interface NomadAddress {
  /** Without user and password, for logs and the checkpoint. */
  readonly label: string;
  /** Scheme, host and port. A path in the address is left out, as Nomad's client does. */
  readonly origin: string;
  readonly socketPath?: string;
  /** `user:password` of the address; stronger than NOMAD_HTTP_AUTH. */
  readonly auth?: string;
}

function readAuth(url: URL): string | undefined {
  if (url.username === '' && url.password === '') return undefined;
  return `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
}

/** Undefined when `text` is no address. */
export function parseNomadAddress(text: string): NomadAddress | undefined {
  try {
    return readAddress(new URL(text));
  } catch {
    // No URL, or a `%` in it that begins no escape.
    return undefined;
  }
}

function readAddress(url: URL): NomadAddress | undefined {
  if (url.protocol === 'unix:') {
    const socketPath = decodeURIComponent(`${url.host}${url.pathname}`);
    return socketPath.startsWith('/')
      ? { label: `unix://${socketPath}`, origin: 'http://127.0.0.1', socketPath }
      : undefined;
  }
  if ((url.protocol !== 'http:' && url.protocol !== 'https:') || url.hostname === '') return undefined;
  // n.b. an `@` behind the host ends a password with a `/`, `?` or `#` that should have been escaped.
  if (`${url.pathname}${url.search}${url.hash}`.includes('@')) return undefined;
  const auth = readAuth(url);
  return { label: url.origin, origin: url.origin, ...(auth === undefined ? {} : { auth }) };
}
