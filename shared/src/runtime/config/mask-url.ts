/**
 * Shows a setting that is a URL without what is secret in it. It reads one whole value by the parts that `new URL`
 * finds; it does not look for URLs in a text. What it cannot take apart for sure it hides as a whole.
 */
const hidden = '***';
const parameterName = /^[\w.[\]-]{1,40}$/u;
/** A list of URLs is parted by commas; within one URL a comma may stand in a password. */
const listComma = /,(?=[a-z][a-z0-9+.-]*:\/\/)/iu;

/**
 * Undefined where nobody can say for sure which part is the password: an `@` behind the host may end one with a `/`,
 * `?` or `#` in it.
 */
function takeApart(text: string): URL | undefined {
  if (!URL.canParse(text)) return undefined;
  const url = new URL(text);
  const isWithHost = text.trim().slice(url.protocol.length).startsWith('//');
  return isWithHost && !`${url.pathname}${url.search}${url.hash}`.includes('@') ? url : undefined;
}

function maskParameter(parameter: string): string {
  const at = parameter.indexOf('=');
  const name = parameter.slice(0, at);
  const isNamed = at > 0 && parameterName.test(name) && !/^=*$/u.test(parameter.slice(at + 1));
  return isNamed ? `${name}=${hidden}` : hidden;
}

/**
 * `amqp://user:secret@host/?key=x#y` becomes `amqp://***@host/?key=***#***`. What is no URL, or not surely one, becomes
 * `***`.
 */
export function maskUrl(url: string): string {
  const parts = takeApart(url);
  if (parts === undefined) return hidden;
  const { protocol, username, password, host, pathname, search, hash } = parts;
  if (`${username}${password}${search}${hash}` === '') return url.trim();
  const user = username === '' && password === '' ? '' : `${hidden}@`;
  const query = search === '' ? '' : `?${search.slice(1).split('&').map(maskParameter).join('&')}`;
  return `${protocol}//${user}${host}${pathname}${query}${hash === '' ? '' : `#${hidden}`}`;
}

/**
 * Any text of a setting: its URLs masked where it is made of them, hidden where `user:password@` stands in it
 * otherwise.
 */
export function maskText(text: string): string {
  if (text.includes('://')) return text.split(listComma).map(maskUrl).join(',');
  return /:.*@/su.test(text) ? hidden : text;
}

function forms(encoded: string): readonly string[] {
  try {
    return [encoded, decodeURIComponent(encoded)];
  } catch {
    return [encoded];
  }
}

/** n.b. the parser of URLs escapes some signs that may stand for themselves. */
const partsAsWritten = /^[^:]*:\/\/(?:([^/?#]*)@)?[^?#]*(?:\?([^#]*))?(?:#(.*))?$/su;

function secretsOfParts(login: string, query: string, fragment: string): readonly string[] {
  const colon = login.indexOf(':');
  const password = login.slice(colon + 1);
  const values = query.split('&').map((parameter) => parameter.slice(parameter.indexOf('=') + 1));
  return [password === '' ? login.slice(0, colon) : password, ...values, fragment].flatMap(forms);
}

/**
 * What a URL keeps secret, as it is written, as a client may write it anew, and as it is meant, for whoever has to find
 * it in the words of others.
 */
export function secretsOfUrl(url: string): readonly string[] {
  if (!URL.canParse(url)) return [];
  const { username, password, search, hash } = new URL(url);
  const [, login = '', query = '', fragment = ''] = partsAsWritten.exec(url.trim()) ?? [];
  const all = [
    ...secretsOfParts(password === '' ? username : `:${password}`, search.slice(1), hash.slice(1)),
    ...secretsOfParts(login, query, fragment),
  ];
  return [...new Set(all)].filter((secret) => secret !== '');
}

const shortestSecret = 4;

/**
 * Takes these secrets out of the words of others: of servers that repeat what they were sent, of clients that quote
 * their address.
 */
export function makeHider(secrets: readonly (string | null | undefined)[]): (text: string) => string {
  const longestFirst = [...new Set(secrets)]
    .filter((secret): secret is string => typeof secret === 'string' && secret.length >= shortestSecret)
    .sort((one, other) => other.length - one.length);
  return (text) => longestFirst.reduce((shown, secret) => shown.replaceAll(secret, hidden), text);
}
