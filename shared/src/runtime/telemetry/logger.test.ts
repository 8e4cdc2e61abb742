import { PassThrough, Writable } from 'node:stream';
import t from 'tap';
import { HydrantError } from '../../foundation/errors.ts';
import { createLogger, type LoggerOptions } from './logger.ts';

const hostile = 'a\u009b2J\u001b]0;x\u0007\b\r\u202e\u2028\u{e0001}\\u0041 größer';
/** What a terminal obeys, but for the end of the line and colours. */
const orders = /[^\P{Cc}\n]|[\p{Cf}\p{Zl}\p{Zp}]/u;

function logTo(format: 'json' | 'text' | 'pretty'): string {
  const output = new PassThrough();
  const log = createLogger({ level: 'info', format, service: 'test', out: output });
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

function logged(format: LoggerOptions['format'], level: string, err: Error): string {
  const chunks: string[] = [];
  const out = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      chunks.push(chunk.toString());
      done();
    },
  });
  createLogger({ level, format, service: 'test', out }).warn({ address: 'http://nomad', err }, 'Cannot be opened');
  return chunks.join('');
}

const cause = Object.assign(new Error('connect ECONNREFUSED 127.0.0.1:4646'), { code: 'ECONNREFUSED' });
const foreseen = new HydrantError('Cannot reach Nomad', { code: 'nomad-unreachable', retryable: true, cause });

t.test('a failure that was foreseen is one line with its causes, without a stack', (t) => {
  for (const format of ['text', 'json'] as const) {
    const text = logged(format, 'info', foreseen);
    t.equal(text.trimEnd().split('\n').length, 1, format);
    t.match(text, /Cannot reach Nomad: connect ECONNREFUSED 127\.0\.0\.1:4646/u);
    t.match(text, /nomad-unreachable/u);
    t.notMatch(text, /logger\.test/u);
  }
  const { err } = JSON.parse(logged('json', 'info', foreseen)) as { err: unknown };
  t.strictSame(err, {
    type: 'HydrantError',
    message: 'Cannot reach Nomad: connect ECONNREFUSED 127.0.0.1:4646',
    name: 'HydrantError',
    code: 'nomad-unreachable',
    retryable: true,
  });
  t.end();
});

t.test('at debug it comes with its stack, and so does a surprise always', (t) => {
  for (const format of ['text', 'json'] as const) {
    t.match(logged(format, 'debug', foreseen), /at .*logger\.test/u, format);
    t.match(logged(format, 'info', new TypeError('x is not a function')), /at .*logger\.test/u, format);
  }
  t.end();
});
