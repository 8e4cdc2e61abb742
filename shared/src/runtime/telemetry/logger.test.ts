import { PassThrough } from 'node:stream';
import t from 'tap';
import { createLogger } from './logger.ts';

const hostile = 'a\u009b2J\u001b]0;x\u0007\b\r\u202e\u2028\u{e0001}\\u0041 größer';
/** What a terminal obeys, but for the end of the line and colours. */
const orders = /[^\P{Cc}\n]|[\p{Cf}\p{Zl}\p{Zp}]/u;

function logTo(format: 'json' | 'text' | 'pretty'): string {
  const output = new PassThrough();
  const log = createLogger({ level: 'info', format, service: 'test' }, output);
  log.warn({ job: hostile, deep: { [hostile]: [hostile] }, err: new Error(hostile) }, hostile);
  return String(output.read());
}

void t.test('a line of JSON obeys no name in it and keeps its value', (t) => {
  const line = logTo('json');

  t.notMatch(line, orders);
  t.match(JSON.parse(line), { job: hostile, deep: { [hostile]: [hostile] }, err: { message: hostile }, msg: hostile });
  t.end();
});

void t.test('text for people shows what a terminal would obey', (t) => {
  for (const format of ['text', 'pretty'] as const) {
    const text = logTo(format).replaceAll(/\u001b\[\d+m/gu, '');
    t.notMatch(text, orders, format);
    t.match(text, String.raw`a\u009b2J\u001b]0;x\u0007\b\r\u202e\u2028\udb40\udc01\u0041 größer`, format);
  }
  t.end();
});
