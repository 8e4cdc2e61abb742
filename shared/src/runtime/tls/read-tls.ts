/**
 * Reads the PEM files that settings name and says what is wrong with them, before a handshake says it in words that
 * nobody understands.
 */
import { createPrivateKey, X509Certificate, type KeyObject } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describeError, errorCode, HydrantError } from '../../foundation/errors.ts';
import type { TlsOptions } from './tls-settings.ts';

/** As `tls.connect` takes them. */
export interface TlsMaterial {
  readonly ca?: string[];
  readonly cert?: string;
  readonly key?: string;
  readonly servername?: string;
}

const pemCertificate = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/gu;

function unusable(text: string, cause?: unknown): HydrantError {
  return new HydrantError(text, { code: 'tls-files', retryable: true, cause });
}

function readNamed(setting: string, path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch (thrown) {
    throw unusable(
      `Expected to read what \`${setting}\` names, ${path}, could not: ${errorCode(thrown) ?? 'unknown'}; is it there, and may this process read it?`,
    );
  }
}

/** n.b. TLS would pass over what it cannot read without a word. */
function readCertificates(setting: string, path: string): readonly X509Certificate[] {
  const found = readNamed(setting, path).match(pemCertificate) ?? [];
  if (found.length === 0)
    throw unusable(`Expected \`${setting}\` to hold at least one certificate in PEM form, got none in ${path}`);
  try {
    return found.map((certificate) => new X509Certificate(certificate));
  } catch (thrown) {
    throw unusable(
      `Expected the certificates of \`${setting}\` to be readable, got a broken one in ${path}; replace it`,
      thrown,
    );
  }
}

function readKey(setting: string, path: string): { readonly pem: string; readonly key: KeyObject } {
  const pem = readNamed(setting, path);
  try {
    return { pem, key: createPrivateKey(pem) };
  } catch {
    // n.b. not the cause: who knows what it quotes.
    throw unusable(`Expected \`${setting}\` to hold a private key in PEM form, not encrypted, got none in ${path}`);
  }
}

/** Reads anew at each call, so that certificates may rotate. Throws a HydrantError `tls-files`. */
export function readTls({ caFile, certFile, keyFile, serverName, names }: TlsOptions): TlsMaterial {
  if ((certFile === null) !== (keyFile === null))
    throw unusable(
      `Expected \`${names.certFile}\` and \`${names.keyFile}\` to be set both or not at all, got one of them`,
    );
  const ca =
    caFile === null ? undefined : readCertificates(names.caFile, caFile).map((certificate) => certificate.toString());
  const name = serverName === null ? {} : { servername: serverName };
  if (certFile === null || keyFile === null) return { ...(ca === undefined ? {} : { ca }), ...name };
  const chain = readCertificates(names.certFile, certFile);
  const { pem, key } = readKey(names.keyFile, keyFile);
  if (chain[0]?.checkPrivateKey(key) !== true)
    throw unusable(
      `Expected the key in ${keyFile} (\`${names.keyFile}\`) to be that of the certificate in ${certFile} (\`${names.certFile}\`), it is that of another`,
    );
  return {
    ...(ca === undefined ? {} : { ca }),
    ...name,
    cert: chain.map((certificate) => certificate.toString()).join(''),
    key: pem,
  };
}

/** For `check` of a service or a sink: what is wrong with the files, as a list of at most one sentence. */
export function tlsProblems(options: TlsOptions): readonly string[] {
  try {
    readTls(options);
    return [];
  } catch (error) {
    return [describeError(error)];
  }
}

/** When our own certificate ended, if it has. */
export function ownCertificateEnd({ certFile, names }: TlsOptions, nowMs: number): string | undefined {
  if (certFile === null) return undefined;
  try {
    const end = readCertificates(names.certFile, certFile)[0]?.validTo ?? '';
    return Date.parse(end) < nowMs ? end : undefined;
  } catch {
    // n.b. whoever connects reads it too and says what is wrong.
    return undefined;
  }
}
