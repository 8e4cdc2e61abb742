/**
 * Who we are to Nomad and whom we take for Nomad: headers and TLS, made of the settings. Files are read anew at each
 * connection, because workload identities and certificates rotate.
 */
import type { ProxyRules } from '@hydrant/shared/runtime/proxy/choose-proxy';
import { readFile } from 'node:fs/promises';
import { HydrantError } from '@hydrant/shared/foundation/errors';
import type { NomadAddress } from './address.ts';
import { readAuthorities, readNamed } from './authorities.ts';

/** How to prove who we are and to whom; null: not set. */
export interface NomadAccess {
  readonly token: string | null;
  readonly tokenFile: string | null;
  /** `user:password` for basic authentication. */
  readonly httpAuth: string | null;
  readonly caFile: string | null;
  /** Read when there is no `caFile`. */
  readonly caFolder: string | null;
  readonly certFile: string | null;
  readonly keyFile: string | null;
  readonly serverName: string | null;
  readonly skipVerify: boolean;
  /** Default: none. */
  readonly proxies?: ProxyRules;
}

export interface Credentials {
  readonly headers: Readonly<Record<string, string>>;
  readonly tls: {
    readonly ca?: string[];
    readonly cert?: Buffer;
    readonly key?: Buffer;
    readonly servername?: string;
    readonly rejectUnauthorized: boolean;
  };
  /** What must not be shown when an answer repeats it. */
  readonly secrets: readonly string[];
}

/** What a header may hold, of ASCII. */
const headerText = /^[\t\u0020-\u007e]*$/u;

async function readToken({ token, tokenFile }: NomadAccess): Promise<string> {
  const text =
    tokenFile === null
      ? (token ?? '')
      : await readNamed('NOMAD_TOKEN_FILE', tokenFile, (path) => readFile(path, 'utf8'));
  const trimmed = text.trim();
  // n.b. Node.js would refuse the header, and say nothing of the setting.
  if (headerText.test(trimmed)) return trimmed;
  const place = tokenFile === null ? 'NOMAD_TOKEN' : `${tokenFile} (NOMAD_TOKEN_FILE)`;
  throw new HydrantError(`Expected ${place} to hold a token on one line, got other characters than a header may have`, {
    code: 'nomad-credentials',
    retryable: true,
  });
}

function readBytes(path: string): Promise<Buffer> {
  return readFile(path);
}

async function readTls({
  caFile,
  caFolder,
  certFile,
  keyFile,
  serverName,
  skipVerify,
}: NomadAccess): Promise<Credentials['tls']> {
  const ca = await readAuthorities(caFile, caFolder);
  return {
    ...(ca === undefined ? {} : { ca }),
    ...(certFile === null ? {} : { cert: await readNamed('NOMAD_CLIENT_CERT', certFile, readBytes) }),
    ...(keyFile === null ? {} : { key: await readNamed('NOMAD_CLIENT_KEY', keyFile, readBytes) }),
    ...(serverName === null ? {} : { servername: serverName }),
    rejectUnauthorized: !skipVerify,
  };
}

/** Throws `nomad-credentials` when a file cannot be read. User and password of the address win over NOMAD_HTTP_AUTH. */
export async function readCredentials(access: NomadAccess, address: NomadAddress): Promise<Credentials> {
  // n.b. older Nomads compress the stream with a flush per frame when asked to.
  const headers: Record<string, string> = { accept: 'application/json', 'accept-encoding': 'identity' };
  const token = await readToken(access);
  if (token !== '') headers['x-nomad-token'] = token;
  const auth = address.auth ?? access.httpAuth;
  const userAndPassword = auth === null || auth.includes(':') ? auth : `${auth}:`;
  const basic = Buffer.from(userAndPassword ?? '').toString('base64');
  if (basic !== '') headers['authorization'] = `Basic ${basic}`;
  const password = userAndPassword?.slice(userAndPassword.indexOf(':') + 1) ?? '';
  return {
    headers,
    tls: address.origin.startsWith('https:') ? await readTls(access) : { rejectUnauthorized: true },
    secrets: [token, basic, password].filter((secret) => secret !== ''),
  };
}
