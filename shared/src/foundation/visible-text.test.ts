import t from 'tap';
import { makeTerminalSafe, makeVisible } from './visible-text.ts';

void t.test('what is invisible is written as an escape, and a line has a bounded length', (t) => {
  const cases: readonly (readonly [text: string, visible: string])[] = [
    ['server', 'server'],
    ['a\u202eb\n\tc\ud800', String.raw`a\u202eb c\ud800`],
    ['\u009b2J\u001b[31m\u007f', String.raw`\u009b2J\u001b[31m\u007f`],
    ['x\u2028\u2029y\u2066z', String.raw`x y\u2066z`],
    ['\u{e0001}', String.raw`\udb40\udc01`],
    ['größer 支払い 🚰', 'größer 支払い 🚰'],
    ['x'.repeat(300), 'x'.repeat(300)],
    ['x'.repeat(301), `${'x'.repeat(300)}…`],
    ['\u202e'.repeat(300), `${String.raw`\u202e`.repeat(50)}…`],
    [`${'x'.repeat(299)}\u202e`, `${'x'.repeat(299)}…`],
  ];
  for (const [text, visible] of cases) t.equal(makeVisible(text), visible);
  t.end();
});

void t.test('nothing that reaches a terminal is an order to it, and JSON keeps its value', (t) => {
  const hostile = 'a\u009b2J\u0085\u001b]0;x\u0007\u202e\u2028\u2029\u200f\u{e0001}\u00ad\ud800 größer\t\u007f';

  t.notMatch(makeTerminalSafe(`${hostile}\r`), /[^\P{Cc}\t\n]|[\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u);
  t.equal(makeTerminalSafe('two\nlines\tand größer 🚰'), 'two\nlines\tand größer 🚰');
  const raw = `{\r\n "${hostile.slice(0, 5)}": ${JSON.stringify({ deep: [hostile] })} }`;
  t.same(JSON.parse(makeTerminalSafe(raw)), JSON.parse(raw));
  t.end();
});
