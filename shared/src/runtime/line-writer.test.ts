import { PassThrough } from 'node:stream';
import t from 'tap';
import { createLineWriter } from './line-writer.ts';

void t.test('what a line holds is no order to a terminal, unless its writer painted it', async (t) => {
  const output = new PassThrough();
  const out = createLineWriter(output);

  await out.write(['{"a":"\u009b2J"}', '\u001b[31mred\u202e']);
  await out.writePainted(['\u001b[31mred']);

  t.equal(
    String(output.read()),
    `{"a":"${String.raw`\u009b2J`}"}\n${String.raw`\u001b[31mred\u202e`}\n\u001b[31mred\n`,
  );
});
