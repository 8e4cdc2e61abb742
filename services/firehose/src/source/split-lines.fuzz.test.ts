/** Compares the splitter with a plain split of all bytes together: whatever they are, and wherever they are cut. */
import assert from 'node:assert/strict';
import { fuzz, type Random } from '@hydrant/testing/fuzz';
import t from 'tap';
import { createLineSplitter, overlongLimits } from './split-lines.ts';

const newline = 0x0a;

/** Lines of about the limit, a few far above it, and often the newline alone. */
function makeBytes({ below, oneIn, bytes }: Random, limit: number): Buffer {
  const parts = Array.from({ length: below(8) }, () => {
    const length = oneIn(4)
      ? below(limit * (overlongLimits + 2))
      : oneIn(2)
        ? Math.max(0, limit - 1 + below(3))
        : below(4);
    const line = bytes(length);
    return oneIn(4)
      ? line
      : Buffer.concat([line.map((byte) => (byte === newline ? 0x0d : byte)), Buffer.from([newline])]);
  });
  return Buffer.concat(parts);
}

function cut({ below, oneIn }: Random, bytes: Buffer): readonly Buffer[] {
  const chunks: Buffer[] = [];
  const longest = oneIn(4) ? 1 : 1 + below(bytes.length + 1);
  for (let at = 0; at < bytes.length;) {
    const length = below(longest + 1);
    // n.b. a copy: what was handed out must not depend on the bytes beside it.
    chunks.push(Buffer.from(bytes.subarray(at, at + length)));
    at += length;
  }
  return chunks;
}

/** Everything but how many bytes of an endless line were seen, which depends on where it was cut. */
function expectSeen(bytes: Buffer, limit: number): readonly string[] {
  const seen: string[] = [];
  const lines = bytes.toString('latin1').split('\n');
  for (const [at, line] of lines.entries()) {
    const isLast = at === lines.length - 1;
    if (line.length > limit) seen.push('overlong');
    if (line.length > limit * overlongLimits) seen.push('endless');
    if (line.length <= limit && !isLast) seen.push(`line ${line}`);
  }
  return seen;
}

t.test('lines are those of a plain split, wherever the bytes are cut', async (t) => {
  await fuzz(t, (random) => {
    const limit = random.oneIn(10) ? 0 : 1 + random.below(40);
    const bytes = makeBytes(random, limit);
    const chunks = cut(random, bytes);
    const seen: string[] = [];
    const handedOut: Buffer[] = [];
    const splitter = createLineSplitter(limit, {
      line(line) {
        handedOut.push(line);
        seen.push(`line ${line.toString('latin1')}`);
      },
      overlong() {
        seen.push('overlong');
      },
      endless(length) {
        assert.ok(
          length > limit * overlongLimits && length <= bytes.length,
          `an endless line of ${String(length)} bytes`,
        );
        seen.push('endless');
      },
    });

    for (const chunk of chunks) splitter.push(chunk);

    const expected = expectSeen(bytes, limit);
    const shown = `${JSON.stringify(chunks.map((chunk) => chunk.toString('latin1')))} with a limit of ${String(limit)}`;
    assert.deepEqual(seen, expected, shown);
    assert.deepEqual(
      handedOut.map((line) => `line ${line.toString('latin1')}`),
      expected.filter((each) => each.startsWith('line ')),
      `${shown}, looked at later`,
    );
  });
});
