import t from 'tap';
import { DocumentSplitter } from './document-splitter.ts';

function split(text: string): string[] {
  const splitter = new DocumentSplitter();
  const found = [...text.split('\n').flatMap((line) => splitter.take(Buffer.from(line))), ...splitter.end()];
  return found.map(({ bytes, line }) => `${line} ${bytes.toString().replace(/\s+/gu, ' ').trim()}`);
}

t.test('documents are found however people write them', async (t) => {
  const cases: [name: string, text: string, expected: string[]][] = [
    ['a line each', '{"a":1}\n\n{"a":2}\r', ['1 {"a":1}', '3 {"a":2}']],
    ['a byte-order mark', '\ufeff{"a":1}', ['1 {"a":1}']],
    [
      'pretty-printed',
      '{\n  "a": {\n    "b": "}{"\n  }\n}\n{\n  "a": 2\n}',
      ['1 { "a": { "b": "}{" } }', '6 { "a": 2 }'],
    ],
    ['a list', '[{"a":1},{"a":[2]}]', ['1 {"a":1}', '1 {"a":[2]}']],
    ['a list over lines', '[\n  {"a":1},\n  {"a":2}\n]\n{"a":3}', ['1 {"a":1}', '1 {"a":2}', '5 {"a":3}']],
    ['behind one another', '{"a":1}{"a":2} {"a":"\\"}"}', ['1 {"a":1}', '1 {"a":2}', '1 {"a":"\\"}"}']],
    ['no JSON', 'hello\n{"a":1}', ['1 hello', '2 {"a":1}']],
    ['one that was cut off', '{"a":{"b":1\n{"a":2}', ['1 {"a":{"b":1', '2 {"a":2}']],
    ['one that ends with the file', '{\n"a":1', ['1 { "a":1']],
    ['a list that is none', '[1,]', ['1 [1,]']],
    ['more brackets close than open', '}}\n{"a":1}', ['1 }}', '2 {"a":1}']],
  ];

  for (const [name, text, expected] of cases) t.same(split(text), expected, name);
});
