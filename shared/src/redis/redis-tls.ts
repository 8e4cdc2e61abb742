/** TLS to Redis as its client takes it. */
import { createSecureContext, type ConnectionOptions } from 'node:tls';
import { describeError } from '../foundation/errors.ts';
import type { Logger } from '../runtime/telemetry/logger.ts';
import { readTls } from '../runtime/tls/read-tls.ts';
import type { TlsOptions } from '../runtime/tls/tls-settings.ts';

/**
 * Throws `tls-files` when a certificate cannot be read. n.b. the client asks for `secureContext` at each connection, so
 * certificates may rotate; what is read then must not throw, or the client would never try again.
 */
export function makeRedisTls(options: TlsOptions, log: Logger): ConnectionOptions {
  const { servername, ...first } = readTls(options);
  let newest = createSecureContext(first);
  return {
    ...(servername === undefined ? {} : { servername }),
    get secureContext() {
      try {
        newest = createSecureContext(readTls(options));
      } catch (error) {
        log.warn(
          { error: describeError(error) },
          'Certificates for Redis cannot be read again, those read before are used',
        );
      }
      return newest;
    },
  };
}
