import t from 'tap';
import { bool, duration, durationBetween, hostNames, integer, list, listOf, oneOf, path, port, size, text, url, urls, type Format } from './formats.ts';
import { maskUrl } from './mask-url.ts';
import { findNearestName } from './nearest-name.ts';

type Cases = readonly (readonly [raw: unknown, value: unknown])[];

const formats: readonly (readonly [Format<unknown>, Cases])[] = [
  [text, [['a b ', 'a b '], ['', ''], [5, undefined]]],
  [path, [['./data', './data'], ['', undefined], [5, undefined]]],
  [integer(), [['12', 12], [' 12 ', 12], [12, 12], ['5abc', undefined], ['1e3', undefined], ['0x10', undefined], ['', undefined], [1.5, undefined], ['-1', undefined], ['9007199254740993', undefined], [true, undefined]]],
  [integer({ min: -5, max: 5 }), [['-5', -5], ['6', undefined]]],
  [port, [['0', 0], [65_535, 65_535], ['65536', undefined]]],
  [duration, [['5m', 300_000], [' 5m ', 300_000], ['5', undefined], [5, undefined]]],
  [durationBetween({ minMs: 1000, maxMs: 60_000 }), [['1s', 1000], ['1m', 60_000], ['999ms', undefined], ['61s', undefined]]],
  [size, [['256MiB', 268_435_456], [4096, 4096], [-1, undefined], [1.5, undefined], ['many', undefined]]],
  [bool, [['true', true], ['FALSE', false], ['1', true], ['no', false], [true, true], ['', undefined], ['maybe', undefined], ['constructor', undefined], [0, undefined]]],
  [oneOf(['a', 'b']), [['a', 'a'], [' b ', 'b'], ['A', undefined], ['', undefined], [1, undefined]]],
  [list, [['a, b,,c ', ['a', 'b', 'c']], [['a', ' b '], ['a', 'b']], ['', []], [['a', 1], undefined], [1, undefined]]],
  [listOf(integer(), { name: 'numbers', expected: 'numbers' }), [['1,2', [1, 2]], ['1,x', undefined], ['', undefined]]],
  [hostNames, [['a.example, *.b.example', ['a.example', '*.b.example']], ['https://a.example', undefined], ['a.example:80', undefined], ['*', undefined], ['a..b', undefined], ['', undefined]]],
  [url(['redis:', 'rediss:']), [['redis://:p%40ss@host:1/0', 'redis://:p%40ss@host:1/0'], ['rediss://host', 'rediss://host'], ['http://host', undefined], ['redis:host', undefined], ['redis://', undefined], ['host', undefined]]],
  [url(['http:']), [['http://host/a', 'http://host/a'], ['http:host', undefined]]],
  [urls(['amqp:', 'amqps:']), [['amqp://a/, amqps://b/', ['amqp://a/', 'amqps://b/']], ['amqp://a/,b', undefined], ['', undefined]]],
];

void t.test('a format takes exactly what it names', (t) => {
  for (const [format, cases] of formats) for (const [raw, value] of cases) t.same(format.parse(raw), value, `${format.name}: ${JSON.stringify(raw)}`);
  t.end();
});

void t.test('a masked URL holds no password', (t) => {
  const cases: readonly (readonly [string, string])[] = [
    ['amqp://user:secret@host:5672/vhost', 'amqp://***@host:5672/vhost'],
    ['redis://:p@ss@host/0', 'redis://***@host/0'],
    ['redis://:pa/ss@host/0', 'redis://***@host/0'],
    ['redis://:a,b@host/0', 'redis://***@host/0'],
    ['amqp://u:p@a/,amqps://u:p@b/', 'amqp://***@a/,amqps://***@b/'],
    ['cannot reach https://u:p@host/x, will retry', 'cannot reach https://***@host/x, will retry'],
    ['https://host/hook?token=abc&x=1', 'https://host/hook?token=***&x=1'],
    ['https://host/people/@me?mail=a@b.c', 'https://host/people/@me?mail=a@b.c'],
    ['["http://u:p@a/"]', '["http://***@a/"]'],
    ['a@b', 'a@b'],
    ['', ''],
  ];
  for (const [given, masked] of cases) t.equal(maskUrl(given), masked);
  t.end();
});

void t.test('the nearest name is found when it is near enough', (t) => {
  const names = ['SHUTDOWN_TIMEOUT', 'LOG_LEVEL', 'HTTP_PORT', 'HTTP_HOST'];
  const cases: readonly (readonly [string, string | undefined])[] = [
    ['SHUTDOWN_TIMOUT', 'SHUTDOWN_TIMEOUT'], ['LOGLEVEL', 'LOG_LEVEL'], ['HTTP_PRT', 'HTTP_PORT'], ['SINK', undefined], ['A', undefined],
  ];
  for (const [given, nearest] of cases) t.equal(findNearestName(given, names), nearest, given);
  t.end();
});
