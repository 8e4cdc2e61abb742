import { runInBash } from '@hydrant/testing/bash';
import { testFolder } from '@hydrant/testing/test-folder';
import t from 'tap';
import { quoteForShell } from './shell-quote.ts';

void t.test('a word is written as it is read best and means itself', (t) => {
  const cases: readonly (readonly [word: string, quoted: string])[] = [
    ['server', 'server'],
    ['b026f72d-5064-1ded-a45e-1eb7d3346510', 'b026f72d-5064-1ded-a45e-1eb7d3346510'],
    ['import/periodic-1', 'import/periodic-1'],
    ['', "''"],
    ['a b; rm -rf ~ $(id)', "'a b; rm -rf ~ $(id)'"],
    ['Zahlung-größer 支払い', "'Zahlung-größer 支払い'"],
    ['=ls', "'=ls'"],
    ['~root', "'~root'"],
    ["it's", String.raw`$'it\x27s'`],
    ['`id`', String.raw`$'\x60id\x60'`],
    ['wow!!', String.raw`$'wow\x21\x21'`],
    ['a\\b', String.raw`$'a\x5cb'`],
    ['a\nb\t', String.raw`$'a\x0ab\x09'`],
    ['a\u202eb\u00a0', String.raw`$'a\xe2\x80\xaeb\xc2\xa0'`],
    ['\u009b2J', String.raw`$'\xc2\x9b2J'`],
    ['\ud800', String.raw`$'\xef\xbf\xbd'`],
    ['a\0b', String.raw`$'a\xef\xbf\xbdb'`],
  ];

  for (const [word, quoted] of cases) t.equal(quoteForShell(word), quoted);
  const { calls, strays } = runInBash(
    cases.map(([word]) => `nomad ${quoteForShell(word)}`),
    { folder: testFolder(t, {}) },
  );
  t.same(
    calls,
    cases.map(([word]) => [[Buffer.from(word.replaceAll('\0', '\ufffd')).toString()]]),
  );
  t.same(strays, []);
  t.end();
});
