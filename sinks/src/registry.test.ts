import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import t from 'tap';
import { findSink, sinkTypes, unknownSinkProblem } from './registry.ts';

void t.test('a sink is found by its type and by its other names', (t) => {
  for (const type of sinkTypes) t.equal(findSink(type)?.type, type);
  t.equal(findSink('rabbitmq')?.type, 'amqp');
  t.equal(findSink('carrier-pigeon'), undefined);
  t.match(unknownSinkProblem('carrier-pigeon', 'environment'), 'Expected `SINK_TYPE` to be one of http, s3, stdout, file, amqp, got "carrier-pigeon" (environment)');
  t.end();
});

void t.test('a sink names its settings after itself', (t) => {
  for (const type of sinkTypes) {
    for (const name of Object.keys(findSink(type)?.settings ?? {})) t.match(name, new RegExp(`^(?:SINK_${type.toUpperCase()}_|AMQP_)`, 'u'));
  }
  t.end();
});

void t.test('the registry loads no client', async (t) => {
  const program = `
    import { createRequire } from 'node:module';
    await import(${JSON.stringify(new URL('./registry.ts', import.meta.url).href)});
    const loaded = Object.keys(createRequire(import.meta.url).cache);
    console.log(JSON.stringify(loaded.filter((file) => /node_modules.(?:undici|amqplib|@aws-sdk)/.test(file))));
  `;
  const loader = process.execArgv.filter((argument) => argument.startsWith('--import') || argument.startsWith('--conditions'));
  const { stdout } = await promisify(execFile)(process.execPath, [...loader, '--input-type=module', '--eval', program], { cwd: fileURLToPath(new URL('.', import.meta.url)) });

  t.same(JSON.parse(stdout), []);
});
