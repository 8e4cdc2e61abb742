/** Certificates made for one test, by `openssl`: an authority, and what it signs. */
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface Certificate {
  readonly certFile: string;
  readonly keyFile: string;
  readonly cert: Buffer;
  readonly key: Buffer;
}

/** For a test's `skip`: why it cannot be run, or false. */
export const withoutOpenssl: string | false =
  spawnSync('openssl', ['version']).status === 0 ? false : 'openssl is not there to make a certificate';

function runOpenssl(args: readonly string[]): void {
  const { status, stderr } = spawnSync('openssl', args);
  if (status !== 0)
    throw new Error(`Expected openssl ${args[0] ?? ''} to make a certificate, got: ${stderr.toString()}`);
}

function read(certFile: string, keyFile: string): Certificate {
  return { certFile, keyFile, cert: readFileSync(certFile), key: readFileSync(keyFile) };
}

const newKey = ['req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];

/** `<name>.pem` and `<name>-key.pem` in `folder`. */
export function makeAuthority(folder: string, name: string): Certificate {
  const [certFile, keyFile] = [join(folder, `${name}.pem`), join(folder, `${name}-key.pem`)];
  runOpenssl([...newKey, '-x509', '-days', '2', '-subj', `/CN=${name}`, '-keyout', keyFile, '-out', certFile]);
  return read(certFile, keyFile);
}

/**
 * As `makeAuthority`, signed by it, for servers and clients; `names` as openssl writes them: `DNS:nomad`,
 * `IP:127.0.0.1`; with `days` -1 it expired yesterday.
 */
export function makeCertificate(
  folder: string,
  name: string,
  authority: Certificate,
  names: readonly string[],
  days = 2,
): Certificate {
  const [certFile, keyFile, requestFile, extensionFile] = ['.pem', '-key.pem', '.csr', '.ext'].map((ending) =>
    join(folder, `${name}${ending}`),
  ) as [string, string, string, string];
  runOpenssl([...newKey, '-subj', `/CN=${name}`, '-keyout', keyFile, '-out', requestFile]);
  writeFileSync(extensionFile, `subjectAltName=${names.join(',')}\n`);
  const signing = ['-CA', authority.certFile, '-CAkey', authority.keyFile, '-CAcreateserial'];
  runOpenssl([
    'x509',
    '-req',
    '-days',
    String(days),
    ...signing,
    '-extfile',
    extensionFile,
    '-in',
    requestFile,
    '-out',
    certFile,
  ]);
  return read(certFile, keyFile);
}
