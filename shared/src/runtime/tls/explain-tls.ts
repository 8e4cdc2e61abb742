/**
 * What a failed TLS handshake means and what to do about it: which certificate, what is wrong with it, which setting
 * mends it.
 */
import { errorCode } from '../../foundation/errors.ts';
import { ownCertificateEnd } from './read-tls.ts';
import type { TlsOptions } from './tls-settings.ts';

const untrusted =
  /^(?:SELF_SIGNED_CERT_IN_CHAIN|DEPTH_ZERO_SELF_SIGNED_CERT|UNABLE_TO_GET_ISSUER_CERT(?:_LOCALLY)?|UNABLE_TO_VERIFY_LEAF_SIGNATURE|CERT_UNTRUSTED|CERT_SIGNATURE_FAILURE|INVALID_CA)$/u;
const notTls = /^(?:EPROTO|ERR_SSL_WRONG_VERSION_NUMBER|ERR_SSL_PACKET_LENGTH_TOO_LONG|ERR_SSL_UNEXPECTED_MESSAGE)$/u;
/** n.b. newer versions of OpenSSL say "ssl/tls" where older ones said "sslv3". */
const ownRefused =
  /^ERR_SSL_(?:(?:SSL|TLS)V[0-9]+|SSL\/TLS)_ALERT_(?:CERTIFICATE_\w+|BAD_CERTIFICATE|UNKNOWN_CA|HANDSHAKE_FAILURE|ACCESS_DENIED|UNSUPPORTED_CERTIFICATE|NO_CERTIFICATE|DECRYPT_ERROR)$/u;
/**
 * With TLS 1.3 a server may refuse our certificate, or miss it, after our side of the handshake is over, and only
 * close.
 */
const closed = new Set(['ECONNRESET', 'EPIPE', 'UND_ERR_SOCKET']);

function findTlsCode(thrown: unknown): { readonly code: string; readonly text: string } | undefined {
  let current = thrown;
  for (let depth = 0; depth < 5 && current !== undefined && current !== null; depth += 1) {
    const code = errorCode(current) ?? '';
    if (
      untrusted.test(code) ||
      notTls.test(code) ||
      ownRefused.test(code) ||
      closed.has(code) ||
      /^(?:CERT_|ERR_TLS_|HOSTNAME_)/u.test(code)
    ) {
      return { code, text: current instanceof Error ? current.message : '' };
    }
    current = current instanceof Error ? current.cause : undefined;
  }
  return undefined;
}

/**
 * A clause for the end of a sentence; undefined when the failure has nothing to do with certificates. For connections
 * by TLS only. `nowMs` is the wall clock's.
 */
export function explainTls(thrown: unknown, options: TlsOptions, nowMs: number): string | undefined {
  const { names, caFile, certFile } = options;
  const found = findTlsCode(thrown);
  if (found === undefined) return undefined;
  const { code, text } = found;
  if (code === 'CERT_HAS_EXPIRED')
    return "the server's certificate, or that of an authority above it, has expired: have it renewed there";
  if (code === 'CERT_NOT_YET_VALID')
    return "the server's certificate is not valid yet: compare the clocks of both machines";
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID' || code === 'HOSTNAME_MISMATCH')
    return `the server's certificate is for other names (${text}): set ${names.serverName} to one that it carries, or connect by that name`;
  if (untrusted.test(code)) {
    return caFile === null
      ? `the server's certificate is signed by an authority that is not trusted here: set ${names.caFile} to the file of that authority`
      : `the server's certificate is not signed by an authority in ${caFile} (${names.caFile}): set the file of the one that signed it`;
  }
  const isClosed = closed.has(code);
  if (!isClosed && notTls.test(code)) return 'does that port speak TLS?';
  const end = ownCertificateEnd(options, nowMs);
  if (end !== undefined && certFile !== null)
    return `our own certificate in ${certFile} (${names.certFile}) expired on ${end}: renew it`;
  if (isClosed) return certFile === null ? `does it ask for a client certificate (${names.certFile})?` : undefined;
  if (!ownRefused.test(code)) return undefined;
  if (certFile === null) return `the server wants a client certificate: set ${names.certFile} and ${names.keyFile}`;
  return `the server refuses our certificate in ${certFile} (${names.certFile}): is it signed by an authority that the server trusts?`;
}
