/** The headers that every request carries, and what can be wrong with their settings. */
import { validateHeaderName, validateHeaderValue } from 'node:http';

export interface HeaderValues {
  readonly SINK_HTTP_ADDRESS: string;
  readonly SINK_HTTP_HEADERS: readonly string[] | null;
  readonly SINK_HTTP_BEARER_TOKEN: string | null;
  readonly SINK_HTTP_BASIC_AUTH: string | null;
}

export interface RequestTarget {
  /** Without user and password. */
  readonly url: string;
  /** For logs and errors: without query too, where tokens may stand. */
  readonly shown: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Takes out of a text what the settings keep secret. */
  hideSecrets(text: string): string;
}

const shortestSecret = 4;

export function makeTarget(values: HeaderValues): RequestTarget {
  const url = new URL(values.SINK_HTTP_ADDRESS);
  const userInfo = readUserInfo(url);
  url.username = '';
  url.password = '';
  const given = (values.SINK_HTTP_HEADERS ?? []).map(splitHeader);
  const basic = values.SINK_HTTP_BASIC_AUTH ?? userInfo;
  const authorization = values.SINK_HTTP_BEARER_TOKEN === null ? basic && `Basic ${Buffer.from(basic).toString('base64')}` : `Bearer ${values.SINK_HTTP_BEARER_TOKEN}`;
  const secrets = [values.SINK_HTTP_BEARER_TOKEN, basic, basic?.slice(basic.indexOf(':') + 1), authorization?.slice(authorization.indexOf(' ') + 1), ...given.map(({ value }) => value), ...url.searchParams.values()]
    .filter((secret): secret is string => typeof secret === 'string' && secret.length >= shortestSecret);
  return {
    url: url.href,
    shown: `${url.origin}${url.pathname}`,
    headers: {
      'user-agent': 'hydrant',
      ...Object.fromEntries(given.map(({ name, value }) => [name.toLowerCase(), value])),
      ...(authorization === undefined ? {} : { authorization }),
    },
    hideSecrets: (text) => secrets.reduce((hidden, secret) => hidden.replaceAll(secret, '***'), text),
  };
}

/** A sentence for each problem. */
export function headerProblems(values: HeaderValues): readonly string[] {
  const problems: string[] = [];
  for (const line of values.SINK_HTTP_HEADERS ?? []) {
    const { name, value } = splitHeader(line);
    if (!isHeader(name, value)) problems.push('Expected `SINK_HTTP_HEADERS` to hold headers as `Name: value`, separated by commas, got one that is none');
  }
  if (!isHeader('authorization', values.SINK_HTTP_BEARER_TOKEN ?? '')) problems.push('Expected `SINK_HTTP_BEARER_TOKEN` to be one line of plain characters, it holds others');
  const ways = {
    '`SINK_HTTP_BEARER_TOKEN`': values.SINK_HTTP_BEARER_TOKEN,
    '`SINK_HTTP_BASIC_AUTH`': values.SINK_HTTP_BASIC_AUTH,
    'user and password in `SINK_HTTP_ADDRESS`': readUserInfo(new URL(values.SINK_HTTP_ADDRESS)),
  };
  const used = Object.entries(ways).flatMap(([way, value]) => (value === null || value === undefined ? [] : [way]));
  if (used.length > 1) problems.push(`Expected one way to authenticate, got ${used.join(' and ')}`);
  return problems;
}

function readUserInfo({ username, password }: URL): string | undefined {
  return username === '' && password === '' ? undefined : `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
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
