/** How the NATS sink shows who it is, and is shown with whom it speaks. */
import type * as Nats from '@nats-io/transport-node';
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { retryable } from '@hydrant/shared/delivery/sink';
import { errorCode } from '@hydrant/shared/foundation/errors';
import { readTls } from '@hydrant/shared/runtime/tls/read-tls';
import type { TlsOptions } from '@hydrant/shared/runtime/tls/tls-settings';

/** n.b. the client looks for no name in the certificate of an address; `host` is what Node.js compares it with then. */
export function makeTls(server: string, options: TlsOptions): Nats.TlsOptions {
  const { ca, servername, ...own } = readTls(options);
  const host = new URL(server).hostname.replace(/^\[(.*)\]$/u, '$1');
  const tls = {
    ...own,
    ...(ca === undefined ? {} : { ca: ca.join('') }),
    host,
    servername: servername ?? (isIP(host) === 0 ? host : ''),
  };
  return tls;
}

export function makeAuthenticator(file: string, { credsAuthenticator }: typeof Nats): Nats.Authenticator {
  try {
    const authenticator = credsAuthenticator(Buffer.from(readFileSync(file, 'utf8').replaceAll('\r\n', '\n')));
    // n.b. of what is wrong with it nobody would hear while connecting.
    authenticator('to try it');
    return authenticator;
  } catch (error) {
    // Not the cause: who knows what it quotes.
    throw retryable(
      `Expected \`SINK_NATS_CREDENTIALS_FILE\` to name a file with the JWT and the seed of a user, as nsc writes it, got ${errorCode(error) ?? 'something else'} in ${file}`,
    );
  }
}
