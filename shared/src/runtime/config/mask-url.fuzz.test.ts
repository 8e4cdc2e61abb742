/**
 * Addresses as they should be written and as people mistype them: no secret of one is shown, and of those that are
 * written well the host and port are.
 */
import { fuzz, type Random } from '@hydrant/testing/fuzz';
import t from 'tap';
import { makeHider, maskText, maskUrl, secretsOfUrl } from './mask-url.ts';

/** n.b. no scheme holds an underscore, so it is never taken for one. */
const canary = '_CANARY_';
const schemes = ['http', 'https', 'redis', 'rediss', 'amqp', 'amqps', 'nats', 'mongodb', 'postgres', 'HTTP'];
const hosts = ['host', 'a-1.b.example', '127.0.0.1', '10.0.0.255', '[::1]', '[2001:db8::7]', 'xn--bcher-kva.example'];
const odd = [
  '@',
  ':',
  '/',
  '?',
  '#',
  '%',
  '%40',
  '%2F',
  '%zz',
  '"',
  "'",
  ' ',
  ',',
  '\\',
  '[',
  ']',
  '<',
  '>',
  '{',
  '|',
  '^',
  '`',
  '$',
  '&',
  '=',
  '+',
  '~',
  '\t',
  '\n',
  '\0',
  'ä',
  '😀',
  '\u2028',
  '12',
  '***',
];

function makeJunk({ below, pick }: Random): string {
  return Array.from({ length: below(4) }, () => pick(odd)).join('');
}

/** A password with its canary, and as it stands in an address. */
function makeSecret(random: Random): readonly [meant: string, written: string] {
  const meant = `${makeJunk(random)}${canary}${makeJunk(random)}`;
  return [meant, encodeURIComponent(meant)];
}

interface Written {
  readonly url: string;
  readonly place: string;
  /** As they are meant. */
  readonly secrets: readonly string[];
}

function makeUrl(random: Random): Written {
  const { below, oneIn, pick } = random;
  const place = `${pick(hosts)}:${String(1024 + below(60_000))}`;
  const [user, password, value, fragment] = [
    makeSecret(random),
    makeSecret(random),
    makeSecret(random),
    makeSecret(random),
  ];
  const login = pick<readonly [string, readonly string[]]>([
    ['', []],
    [`user:${password[1]}@`, [password[0]]],
    [`:${password[1]}@`, [password[0]]],
    [`${user[1]}@`, [user[0]]],
  ]);
  const query = pick<readonly [string, readonly string[]]>([
    ['', []],
    [`?key=${value[1]}`, [value[0]]],
    [`?a=1&X-Amz-Signature=${value[1]}&b`, [value[0]]],
    [`?${value[1]}`, [value[0]]],
  ]);
  const end = oneIn(4) ? `#${fragment[1]}` : '';
  return {
    url: `${pick(schemes)}://${login[0]}${place}${pick(['', '/', '/0', '/v1/event', '/%2F'])}${query[0]}${end}`,
    place,
    secrets: [...login[1], ...query[1], ...(end === '' ? [] : [fragment[0]])],
  };
}

/** With a login in it that nobody escaped, a scheme that is none or is missing, hosts in a list. */
function makeSlip(random: Random): string {
  const { below, oneIn, pick } = random;
  const secret = (): string => `${makeJunk(random)}${canary}${makeJunk(random)}`;
  const login = (): string =>
    pick([
      `user:${secret()}@`,
      `user:12/${secret()}@`,
      `:${secret()}@`,
      `u@home:${secret()}@`,
      `user:12?${secret()}@`,
      `user:12#${secret()}@`,
    ]);
  const place = (): string =>
    `${pick(hosts)}${pick(['', ':1', ':99999', ':port'])}${pick(['', '/', '/0', '/people/@me'])}`;
  const query = (): string => pick(['', '', `?key=${secret()}`, `?${secret().replaceAll('=', '')}`, `#${secret()}`]);
  if (oneIn(3)) return `${login()}${place()}`;
  const slashes = pick(['://', '://', '://', ':', ':/', ':///', ':\\\\']);
  const many = oneIn(3)
    ? Array.from({ length: 1 + below(2) }, () => `,${pick(['', `${pick(schemes)}://`])}${login()}${place()}`).join('')
    : '';
  return `${pick(['', ' ', '\t'])}${pick([...schemes, 'htp', 'ht_tp', ''])}${slashes}${login()}${place()}${many === '' ? query() : many}${pick(['', ' '])}`;
}

/** The text behind ways of writing it that somebody could read it from. */
function holdsSecret(text: string): boolean {
  return text.toUpperCase().includes(canary.slice(1, -1));
}

t.test('of an address that is written well the secrets are masked, and its host and port are not', async (t) => {
  await fuzz(t, (random) => {
    const urls = Array.from({ length: 1 + random.below(3) }, () => makeUrl(random));
    for (const { url, place, secrets } of urls) {
      const masked = maskUrl(url);
      if (holdsSecret(masked)) throw new Error(`${JSON.stringify(url)} is shown as ${JSON.stringify(masked)}`);
      if (!masked.includes(place))
        throw new Error(`${JSON.stringify(url)} is shown without ${place}, as ${JSON.stringify(masked)}`);
      if (secrets.length === 0 && masked !== url) throw new Error(`${url} holds no secret and is shown as ${masked}`);
      const words = `could not reach ${url} (${secrets.join(' or ')})`;
      const hidden = makeHider(secretsOfUrl(url))(words);
      if (holdsSecret(hidden)) throw new Error(`${JSON.stringify(words)} is told as ${JSON.stringify(hidden)}`);
    }
    const list = urls.map(({ url }) => url).join(',');
    const masked = maskText(list);
    if (holdsSecret(masked) || !urls.every(({ place }) => masked.includes(place)))
      throw new Error(`${JSON.stringify(list)} is shown as ${JSON.stringify(masked)}`);
  });
});

t.test('of an address that was mistyped no secret is shown', async (t) => {
  let shown = 0;
  await fuzz(t, (random) => {
    const slip = makeSlip(random);
    for (const mask of [maskUrl, maskText]) {
      const masked = mask(slip);
      if (holdsSecret(masked))
        throw new Error(`${JSON.stringify(slip)} is shown by ${mask.name} as ${JSON.stringify(masked)}`);
      if (masked !== '***') shown += 1;
    }
  });
  t.ok(shown > 0, `${String(shown)} were shown in part`);
});
