import t from 'tap';
import {
  bool,
  duration,
  durationBetween,
  hostNames,
  integer,
  list,
  listOf,
  oneOf,
  path,
  port,
  size,
  text,
  url,
  urls,
  type Format,
} from './formats.ts';
import { maskText, maskUrl, secretsOfUrl } from './mask-url.ts';
import { findNearestName } from './nearest-name.ts';

type Cases = readonly (readonly [raw: unknown, value: unknown])[];

const formats: readonly (readonly [Format<unknown>, Cases])[] = [
  [
    text,
    [
      ['a b ', 'a b '],
      ['', ''],
      [5, undefined],
    ],
  ],
  [
    path,
    [
      ['./data', './data'],
      ['', undefined],
      [5, undefined],
    ],
  ],
  [
    integer(),
    [
      ['12', 12],
      [' 12 ', 12],
      [12, 12],
      ['5abc', undefined],
      ['1e3', undefined],
      ['0x10', undefined],
      ['', undefined],
      [1.5, undefined],
      ['-1', undefined],
      ['9007199254740993', undefined],
      [true, undefined],
    ],
  ],
  [
    integer({ min: -5, max: 5 }),
    [
      ['-5', -5],
      ['6', undefined],
    ],
  ],
  [
    port,
    [
      ['0', 0],
      [65_535, 65_535],
      ['65536', undefined],
    ],
  ],
  [
    duration,
    [
      ['5m', 300_000],
      [' 5m ', 300_000],
      ['5', undefined],
      [5, undefined],
    ],
  ],
  [
    durationBetween({ minMs: 1000, maxMs: 60_000 }),
    [
      ['1s', 1000],
      ['1m', 60_000],
      ['999ms', undefined],
      ['61s', undefined],
    ],
  ],
  [
    size,
    [
      ['256MiB', 268_435_456],
      [4096, 4096],
      [-1, undefined],
      [1.5, undefined],
      ['many', undefined],
    ],
  ],
  [
    bool,
    [
      ['true', true],
      ['FALSE', false],
      ['1', true],
      ['no', false],
      [true, true],
      ['', undefined],
      ['maybe', undefined],
      ['constructor', undefined],
      [0, undefined],
    ],
  ],
  [
    oneOf(['a', 'b']),
    [
      ['a', 'a'],
      [' b ', 'b'],
      ['A', undefined],
      ['', undefined],
      [1, undefined],
    ],
  ],
  [
    list,
    [
      ['a, b,,c ', ['a', 'b', 'c']],
      [
        ['a', ' b '],
        ['a', 'b'],
      ],
      ['', []],
      [['a', 1], undefined],
      [1, undefined],
    ],
  ],
  [
    listOf(integer(), { name: 'numbers', expected: 'numbers' }),
    [
      ['1,2', [1, 2]],
      ['1,x', undefined],
      ['', undefined],
    ],
  ],
  [
    hostNames,
    [
      ['a.example, *.b.example', ['a.example', '*.b.example']],
      ['https://a.example', undefined],
      ['a.example:80', undefined],
      ['*', undefined],
      ['a..b', undefined],
      ['', undefined],
    ],
  ],
  [
    url(['redis:', 'rediss:']),
    [
      ['redis://:p%40ss@host:1/0', 'redis://:p%40ss@host:1/0'],
      ['rediss://host', 'rediss://host'],
      ['http://host', undefined],
      ['redis:host', undefined],
      ['redis://u:12/x@host', undefined],
      ['redis://u:a%@host', undefined],
      ['redis://u:a"b@host', 'redis://u:a"b@host'],
      ['redis://', undefined],
      ['host', undefined],
    ],
  ],
  [
    url(['http:']),
    [
      ['http://host/a', 'http://host/a'],
      ['http:host', undefined],
      ['http://host/@me', 'http://host/@me'],
    ],
  ],
  [
    urls(['amqp:', 'amqps:']),
    [
      ['amqp://a/, amqps://b/', ['amqp://a/', 'amqps://b/']],
      ['amqp://a/,b', undefined],
      ['', undefined],
    ],
  ],
];

void t.test('a format takes exactly what it names', (t) => {
  for (const [format, cases] of formats)
    for (const [raw, value] of cases) t.same(format.parse(raw), value, `${format.name}: ${JSON.stringify(raw)}`);
  t.end();
});

void t.test('a masked URL holds neither login nor values of its query nor a fragment', (t) => {
  const cases: readonly (readonly [string, string])[] = [
    ['amqp://host:5672/vhost', 'amqp://host:5672/vhost'],
    ['http://host', 'http://host'],
    ['unix:///secrets/api.sock', 'unix:///secrets/api.sock'],
    ['amqp://user:secret@host:5672/vhost', 'amqp://***@host:5672/vhost'],
    ['redis://:p@ss@host/0', 'redis://***@host/0'],
    ['redis://ru:a"secret@host/0', 'redis://***@host/0'],
    ['redis://ru:a secret@host/0', 'redis://***@host/0'],
    ['http://ops:S3cret%@host:4646', 'http://***@host:4646/'],
    ['redis://token@host', 'redis://***@host'],
    ['https://host/hook?token=abc&X-Amz-Signature=1&b==', 'https://host/hook?token=***&X-Amz-Signature=***&***'],
    ['https://host/hook?secret', 'https://host/hook?***'],
    ['https://host/hook#secret', 'https://host/hook#***'],
    ['https://user:p@host/people/@me', '***'],
    ['redis://:pa/ss@host/0', '***'],
    ['redis://u:12/ss@host/0', '***'],
    ['redis://u:12#ss@host/0', '***'],
    ['redis:///u:p@host/0', '***'],
    ['http:u:p@host', '***'],
    ['user:secret@host', '***'],
    ['secret', '***'],
    ['', '***'],
  ];
  for (const [given, masked] of cases) t.equal(maskUrl(given), masked, given);
  t.end();
});

void t.test('of any text the URLs are masked', (t) => {
  const cases: readonly (readonly [string, string])[] = [
    ['a@b', 'a@b'],
    ['', ''],
    ['redis://:a,b@host/0', 'redis://***@host/0'],
    ['amqp://u:p@a/,amqps://u:p@b/', 'amqp://***@a/,amqps://***@b/'],
    ['see http://u:p@host/', '***'],
  ];
  for (const [given, masked] of cases) t.equal(maskText(given), masked, given);
  t.end();
});

void t.test('the secrets of a URL are told as they are written and as they are meant', (t) => {
  t.same(secretsOfUrl('http://user:p%40ss@host/a?key=v%20w&flag#end'), [
    'p%40ss',
    'p@ss',
    'v%20w',
    'v w',
    'flag',
    'end',
  ]);
  t.same(secretsOfUrl('http://token@host/'), ['token']);
  t.same(secretsOfUrl('http://u:S3cret%@host/'), ['S3cret%']);
  t.same(secretsOfUrl('https://u:a"b%20c@host/?key="k%2B'), [
    'a%22b%20c',
    'a"b c',
    '%22k%2B',
    '"k+',
    'a"b%20c',
    '"k%2B',
  ]);
  t.same(secretsOfUrl('http://host/'), []);
  t.same(secretsOfUrl('nothing'), []);
  t.end();
});

void t.test('a value that is not as expected is answered with a hint', (t) => {
  t.equal(oneOf(['debug', 'info']).hint?.('inof'), 'did you mean "info"?');
  t.equal(oneOf(['debug', 'info']).hint?.('everything'), undefined);
  t.equal(
    listOf(oneOf(['jobs', 'nodes']), { name: 'list', expected: 'any' }).hint?.('jobs,node'),
    'did you mean "nodes"?',
  );
  t.match(url(['redis:']).hint?.('redis://u:a/b@host'), /%2F/u);
  t.end();
});

void t.test('the nearest name is found when it is near enough', (t) => {
  const names = ['SHUTDOWN_TIMEOUT', 'LOG_LEVEL', 'HTTP_PORT', 'HTTP_HOST'];
  const cases: readonly (readonly [string, string | undefined])[] = [
    ['SHUTDOWN_TIMOUT', 'SHUTDOWN_TIMEOUT'],
    ['LOGLEVEL', 'LOG_LEVEL'],
    ['HTTP_PRT', 'HTTP_PORT'],
    ['SINK', undefined],
    ['A', undefined],
    ['log_level', 'LOG_LEVEL'],
  ];
  for (const [given, nearest] of cases) t.equal(findNearestName(given, names), nearest, given);
  t.end();
});
