/** Where requests go and what headers each of them carries, and what can be wrong with the settings for that. */
import { makeHider, secretsOfUrl } from '@hydrant/shared/runtime/config/mask-url';
import { validateHeaderName, validateHeaderValue } from 'node:http';

/** As the settings of a sink have it; what is null or left out is not set. */
export interface TargetOptions {
  /** May hold user and password. */
  readonly address: string;
  /** `Name: value` each. */
  readonly headers?: readonly string[] | null;
  readonly bearerToken?: string | null;
  /** `user:password`. */
  readonly basicAuth?: string | null;
}

/** What these options are called where they come from. */
export type TargetSettings = Readonly<Record<'address' | 'headers' | 'bearerToken' | 'basicAuth', string>>;

export interface RequestTarget {
  /** Without user and password. */
  readonly url: string;
  /** For logs and errors: without query too, where tokens may stand. */
  readonly shown: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Takes out of a text what the settings keep secret. */
  hideSecrets(text: string): string;
}

const ofConnection = 'it belongs to the connection, which is not yours to steer';
const byUs = 'Hydrant says it of each request';
/** Those that would be replaced, or never let a request through, each with the reason. */
const refusedHeaders: ReadonlyMap<string, string> = new Map([
  ...['connection', 'keep-alive', 'proxy-connection', 'te', 'trailer', 'upgrade', 'http2-settings'].map(
    (name) => [name, ofConnection] as const,
  ),
  ['content-length', byUs],
  ['transfer-encoding', byUs],
  ['idempotency-key', byUs],
  ['webhook-id', byUs],
  ['webhook-timestamp', byUs],
  ['webhook-signature', byUs],
  ['content-encoding', 'SINK_HTTP_GZIP says it'],
  ['expect', 'nobody waits for a 100 Continue'],
  ['host', 'it is that of the address'],
  ['proxy-authorization', 'put user and password into the address of the proxy'],
]);

export function makeTarget({ address, headers, bearerToken, basicAuth }: TargetOptions): RequestTarget {
  const url = new URL(address);
  const userInfo = readUserInfo(url);
  url.username = '';
  url.password = '';
  const given = (headers ?? []).map(splitHeader);
  const basic = basicAuth ?? userInfo;
  const token = bearerToken ?? undefined;
  const authorization =
    token === undefined ? basic && `Basic ${Buffer.from(basic).toString('base64')}` : `Bearer ${token}`;
  const secrets = [
    token,
    basic,
    basic?.slice(basic.indexOf(':') + 1),
    authorization?.slice(authorization.indexOf(' ') + 1),
    ...given.map(({ value }) => value),
    ...secretsOfUrl(address),
  ];
  return {
    url: url.href,
    shown: `${url.origin}${url.pathname}`,
    headers: {
      'user-agent': 'hydrant',
      ...Object.fromEntries(given.map(({ name, value }) => [name.toLowerCase(), value])),
      ...(authorization === undefined ? {} : { authorization }),
    },
    hideSecrets: makeHider(secrets),
  };
}

/** A sentence for each problem. */
export function targetProblems(
  { address, headers, bearerToken, basicAuth }: TargetOptions,
  settings: TargetSettings,
): readonly string[] {
  const problems: string[] = [];
  for (const line of headers ?? []) {
    const { name, value } = splitHeader(line);
    if (!isHeader(name, value))
      problems.push(
        `Expected \`${settings.headers}\` to hold headers as \`Name: value\`, separated by commas, got one that is none`,
      );
  }
  const given = (headers ?? []).map((line) => splitHeader(line).name.toLowerCase());
  for (const [at, name] of given.entries()) {
    const reason = given.indexOf(name) < at ? 'it is there twice' : refusedHeaders.get(name);
    if (reason !== undefined)
      problems.push(`Expected \`${settings.headers}\` to hold headers that are free, got ${name}: ${reason}`);
  }
  if (!isHeader('authorization', bearerToken ?? ''))
    problems.push(`Expected \`${settings.bearerToken}\` to be one line of plain characters, it holds others`);
  const ways = {
    [`\`${settings.bearerToken}\``]: bearerToken,
    [`\`${settings.basicAuth}\``]: basicAuth,
    [`user and password in \`${settings.address}\``]: readUserInfo(new URL(address)),
    [`Authorization in \`${settings.headers}\``]: given.includes('authorization') ? '' : null,
  };
  const used = Object.entries(ways).flatMap(([way, value]) => (value === null || value === undefined ? [] : [way]));
  if (used.length > 1) problems.push(`Expected one way to authenticate, got ${used.join(' and ')}`);
  return problems;
}

function readUserInfo({ username, password }: URL): string | undefined {
  return username === '' && password === ''
    ? undefined
    : `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
}

function splitHeader(line: string): { readonly name: string; readonly value: string } {
  const at = line.indexOf(':');
  return at < 0 ? { name: '', value: line } : { name: line.slice(0, at).trim(), value: line.slice(at + 1).trim() };
}

function isHeader(name: string, value: string): boolean {
  try {
    validateHeaderName(name);
    validateHeaderValue(name, value);
    return true;
  } catch {
    return false;
  }
}
