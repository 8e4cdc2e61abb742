import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import t from 'tap';
import { findSink, sinkTypes, unknownSinkProblem } from './registry.ts';

void t.test('a sink is found by its type and by its other names', (t) => {
  for (const type of sinkTypes) t.equal(findSink(type)?.type, type);
  t.equal(findSink('rabbitmq')?.type, 'amqp');
  t.equal(findSink('mongo')?.type, 'mongodb');
  t.equal(findSink('carrier-pigeon'), undefined);
  t.match(unknownSinkProblem('carrier-pigeon', 'environment'), /^Expected `SINK_TYPE` to be one of http, s3, .*, got "carrier-pigeon" \(environment\)$/u);
  t.end();
});

/** Settings of EventBridge keep the name that they have in nomad-firehose. */
const prefixes: Readonly<Record<string, string>> = { eventbridge: 'SINK_EVENT_BUS_' };

void t.test('a sink names its settings after itself', (t) => {
  for (const type of sinkTypes) {
    const prefix = prefixes[type] ?? `SINK_${type.toUpperCase()}_`;
    for (const name of Object.keys(findSink(type)?.settings ?? {})) t.match(name, new RegExp(`^(?:${prefix}|AMQP_|NOMAD_UI_URL$)`, 'u'));
  }
  t.end();
});

void t.test('the test of every sink runs the contract', async (t) => {
  for (const type of sinkTypes) {
    const source = await readFile(new URL(`./${type}.test.ts`, import.meta.url), 'utf8');
    t.match(source, new RegExp(`sinkContract\\(t, \\{\\s*name: ['\`]${type}\\b`, 'u'), type);
  }
});

void t.test('the registry loads no client', async (t) => {
  const program = `
    import { createRequire } from 'node:module';
    await import(${JSON.stringify(new URL('./registry.ts', import.meta.url).href)});
    const loaded = Object.keys(createRequire(import.meta.url).cache);
    console.log(JSON.stringify(loaded.filter((file) => /node_modules.(?:undici|amqplib|ioredis|kafkajs|mongodb|@aws-sdk)/.test(file))));
  `;
  const loader = process.execArgv.filter((argument) => argument.startsWith('--import') || argument.startsWith('--conditions'));
  const { stdout } = await promisify(execFile)(process.execPath, [...loader, '--input-type=module', '--eval', program], { cwd: fileURLToPath(new URL('.', import.meta.url)) });

  t.same(JSON.parse(stdout), []);
});
