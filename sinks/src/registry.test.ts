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
  t.match(
    unknownSinkProblem('carrier-pigeon', 'environment'),
    /^Expected `SINK_TYPE` to be one of http, s3, .*, got "carrier-pigeon" \(environment\)$/u,
  );
  t.end();
});

/** Settings of EventBridge keep the name that they have in nomad-firehose. */
const prefixes: Readonly<Record<string, string>> = { eventbridge: 'SINK_EVENT_BUS_' };

void t.test('a sink names its settings after itself', (t) => {
  for (const type of sinkTypes) {
    const prefix = prefixes[type] ?? `SINK_${type.toUpperCase()}_`;
    for (const name of Object.keys(findSink(type)?.settings ?? {}))
      t.match(name, new RegExp(`^(?:${prefix}|AMQP_|NOMAD_UI_URL$|(?:HTTPS?|NO)_PROXY$)`, 'u'));
  }
  t.end();
});

void t.test('the test of every sink runs the contract', async (t) => {
  for (const type of sinkTypes) {
    const source = await readFile(new URL(`./${type}.test.ts`, import.meta.url), 'utf8');
    t.match(source, new RegExp(`sinkContract\\(t, \\{\\s*name: ['\`]${type}\\b`, 'u'), type);
  }
});

interface Manifest {
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

/** What every service needs, with whatever destination. */
const loadedByAll = new Set(['@hydrant/shared']);

/** What a program imports, itself and through what it imports, in the words that it was imported by. */
async function specifiersLoadedBy(program: string): Promise<readonly string[]> {
  const hooks = String.raw`
    import { writeSync } from 'node:fs';
    export function resolve(specifier, context, next) { writeSync(1, specifier + '\n'); return next(specifier, context); }
  `;
  const source = `
    import { register } from 'node:module';
    register(${JSON.stringify(`data:text/javascript,${encodeURIComponent(hooks)}`)});
    ${program}
  `;
  const loader = process.execArgv.filter(
    (argument) => argument.startsWith('--import') || argument.startsWith('--conditions'),
  );
  const { stdout } = await promisify(execFile)(process.execPath, [...loader, '--input-type=module', '--eval', source], {
    cwd: fileURLToPath(new URL('.', import.meta.url)),
  });
  return stdout.split('\n').slice(0, -1);
}

void t.test('the registry loads no client', async (t) => {
  const manifests = await Promise.all(
    ['../package.json', '../../shared/package.json'].map(
      async (file) => JSON.parse(await readFile(new URL(file, import.meta.url), 'utf8')) as Manifest,
    ),
  );
  const clients = manifests.flatMap(({ dependencies, optionalDependencies }) =>
    Object.keys({ ...dependencies, ...optionalDependencies }),
  );
  const isClient = (specifier: string): boolean =>
    clients.some((client) => !loadedByAll.has(client) && (specifier === client || specifier.startsWith(`${client}/`)));

  const loaded = await specifiersLoadedBy(
    `await import(${JSON.stringify(new URL('./registry.ts', import.meta.url).href)});`,
  );
  t.same(loaded.filter(isClient), []);
  t.same(
    (await specifiersLoadedBy("await import('kafkajs');")).filter(isClient),
    ['kafkajs'],
    'a client that is loaded is seen',
  );
});
