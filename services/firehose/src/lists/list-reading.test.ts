import { HydrantError } from '@hydrant/shared/foundation/errors';
import t from 'tap';
import { forEachListed, ListReading, listPath, maxPages, readListIndex, type ListAnswer } from './list-reading.ts';

const forever = new AbortController().signal;

/** Answers each request with what `answer` gives for its token. */
function read(answer: (token: string, request: number) => Partial<ListAnswer>): {
  readonly reading: ListReading<string>;
  readonly asked: string[];
} {
  const asked: string[] = [];
  const reading = new ListReading(
    '/v1/jobs?meta=true',
    { namespace: '*', region: 'eu', perPage: 2 },
    (path) => {
      asked.push(path);
      const token = new URL(path, 'http://nomad').searchParams.get('next_token') ?? '';
      return Promise.resolve({
        body: Buffer.from('[]'),
        index: 7,
        nextToken: undefined,
        ...answer(token, asked.length),
      });
    },
    (body) => body.toString(),
  );
  return { reading, asked };
}

async function readAll(reading: ListReading<string>): Promise<number> {
  let pages = 0;
  while ((await reading.next(forever)) !== undefined) pages += 1;
  return pages;
}

t.test('pages come one after the other, each asked for by the token of the one before', async (t) => {
  const { reading, asked } = read((token) =>
    token === '' ? { body: Buffer.from('["a"]'), nextToken: 'x/y z' } : { body: Buffer.from('["b"]') },
  );

  t.strictSame(
    [await reading.next(forever), await reading.next(forever), await reading.next(forever)],
    [{ content: '["a"]', index: 7 }, { content: '["b"]', index: 7 }, undefined],
  );
  t.strictSame(asked, [
    '/v1/jobs?meta=true&per_page=2&namespace=*&region=eu',
    '/v1/jobs?meta=true&per_page=2&namespace=*&region=eu&next_token=x%2Fy+z',
  ]);
});

t.test('a page that fails is the next one still', async (t) => {
  const { reading, asked } = read((token, request) => {
    if (request === 2) throw new HydrantError('Expected 200', { code: 'nomad-refused', retryable: true });
    return token === '' ? { nextToken: 'b' } : {};
  });
  await reading.next(forever);
  await t.rejects(reading.next(forever), { code: 'nomad-refused' });

  t.equal(await readAll(reading), 1);
  t.equal(asked[1], asked[2]);
});

t.test('a token that was seen ends the list, as does an end that never comes', async (t) => {
  const cases: readonly (readonly [string, (token: string, request: number) => string, number, RegExp])[] = [
    ['always the same', () => 'same', 2, /after 2 pages it named the page "same" a second time/u],
    ['a circle', (token) => (token === '' ? 'a' : token === 'a' ? 'b' : 'a'), 3, /"a" a second time/u],
    ['always another', (_token, request) => String(request), maxPages, /more than 10000 pages/u],
  ];
  for (const [name, nextToken, pages, message] of cases) {
    const { reading, asked } = read((token, request) => ({ nextToken: nextToken(token, request) }));
    await t.rejects(readAll(reading), { code: 'list-endless', retryable: false, message }, name);
    await t.rejects(reading.next(forever), { code: 'list-endless' }, `${name}: it stays so`);
    t.equal(asked.length, pages, name);
  }
});

t.test('nothing and null are an empty list, and anything else but a list is refused', (t) => {
  const count = (body: string): number => {
    let found = 0;
    forEachListed('/v1/volumes', Buffer.from(body), () => {
      found += 1;
    });
    return found;
  };
  t.strictSame(['', '\n', 'null', ' null \n', '[]', '[1,{"a":2}]'].map(count), [0, 0, 0, 0, 0, 2]);
  for (const body of ['{}', '"x"', '<html>', '[1', 'nul', '5'])
    t.throws(() => count(body), { code: 'list-malformed', message: /answer \/v1\/volumes with a JSON array/u }, body);
  t.end();
});

t.test('an index is digits, and nothing else', (t) => {
  t.strictSame(['12', '0', '', undefined, '-4', 'x', '99999999999999999999'].map(readListIndex), [
    12,
    0,
    undefined,
    undefined,
    undefined,
    undefined,
    undefined,
  ]);
  t.equal(listPath('/v1/nodes', { region: '', perPage: 1 }), '/v1/nodes?per_page=1');
  t.end();
});
