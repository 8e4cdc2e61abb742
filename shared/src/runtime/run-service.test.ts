import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import ts from 'typescript';
import { eventually } from '@hydrant/testing/eventually';
import { testFolder } from '@hydrant/testing/test-folder';
import { errorCode, toError } from '../foundation/errors.ts';
import { readArguments } from './arguments.ts';
import { text } from './config/formats.ts';
import type { Schema } from './config/setting.ts';
import { loadServiceConfig } from './run-service.ts';

const compilerOptions = {
  target: ts.ScriptTarget.ES2023,
  module: ts.ModuleKind.ESNext,
  rewriteRelativeImportExtensions: true,
  verbatimModuleSyntax: true,
};

/**
 * The fixture and what it imports as JavaScript, built once: a start through tap's loader takes seconds, and here are
 * many.
 */
const fixture = buildFixture(testFolder(t));

function buildFixture(folder: string): string {
  const source = fileURLToPath(new URL('../', import.meta.url));
  for (const layer of ['foundation', 'messages', 'runtime']) {
    for (const file of readdirSync(join(source, layer), { recursive: true, encoding: 'utf8' })) {
      if (!file.endsWith('.ts') || file.endsWith('.test.ts')) continue;
      const target = join(folder, layer, file.replace(/\.ts$/u, '.js'));
      mkdirSync(dirname(target), { recursive: true });
      const { outputText } = ts.transpileModule(readFileSync(join(source, layer, file), 'utf8'), { compilerOptions });
      writeFileSync(target, outputText);
    }
  }
  return join(folder, 'runtime', 'run-service-fixture.js');
}

interface Run {
  readonly child: ChildProcess;
  log(): string;
  output(): string;
  /** Resolves when it has logged that. */
  saying(message: string): Promise<unknown>;
  readonly exited: Promise<unknown[]>;
}

interface Test {
  teardown(action: () => unknown): void;
}

function run(t: Test, env: Readonly<Record<string, string>>, args: readonly string[] = []): Run {
  const child = spawn(process.execPath, [fixture, ...args], {
    env: { PATH: process.env['PATH'], ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let log = '';
  let output = '';
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    log += chunk;
  });
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    output += chunk;
  });
  t.teardown(() => child.kill('SIGKILL'));
  const saying = (message: string): Promise<unknown> =>
    eventually(() => log.includes(message), { timeoutMs: 30_000, message: `the log to have ${message}` });
  // n.b. 'close' comes after the last output, 'exit' may come before it.
  return { child, log: () => log, output: () => output, saying, exited: once(child, 'close') };
}

void t.test('SIGTERM stops the components in reverse and ends with 0', async (t) => {
  const service = run(t, {});
  await service.saying('"Started"');
  const address = /http:\/\/127\.0\.0\.1:\d+/u.exec(service.log())?.[0] ?? '';

  t.equal((await fetch(`${address}/livez`)).status, 200);
  t.same(await (await fetch(`${address}/readyz`)).json(), {
    status: 'pass',
    checks: { process: { status: 'pass' }, fixture: { status: 'pass' } },
  });
  t.match(
    await (await fetch(`${address}/metrics`)).text(),
    /hydrant_build_info\{service="hydrant-fixture",version="0.0.0"\} 1/u,
  );
  service.child.kill('SIGTERM');

  t.same(await service.exited, [0, null]);
  t.ok(service.log().indexOf('second stops') < service.log().indexOf('first stops'));
  t.match(JSON.parse(service.log().split('\n')[0] ?? ''), {
    level: 'info',
    service: 'hydrant-fixture',
    time: /^\d{4}-\d\d-\d\dT[\d:.]+Z$/u,
    msg: 'Starting',
  });
  t.notMatch(service.log(), '/readyz', 'probes are not logged');
  t.equal(service.output(), '', 'logs leave stdout to the sink of that name');
});

void t.test('SIGHUP stops the service as SIGTERM does', async (t) => {
  const service = run(t, {});
  await service.saying('"Started"');
  service.child.kill('SIGHUP');

  t.same(await service.exited, [0, null]);
  t.match(service.log(), /"reason":"SIGHUP"/u);
  t.ok(service.log().indexOf('second stops') < service.log().indexOf('first stops'));
});

void t.test('what may be a mistake in the settings is warned of, at a start and when they are checked', async (t) => {
  const env = { SHUTDOWN_TIMEOT: '5s' };
  const checked = run(t, env, ['--check-config']);
  t.same(await checked.exited, [0, null]);
  t.match(checked.log(), /^Warning: .*`SHUTDOWN_TIMEOT`.*did you mean `SHUTDOWN_TIMEOUT`\?\n$/u);

  const started = run(t, env);
  await started.saying('"Started"');
  t.match(started.log(), /"level":"warn".*SHUTDOWN_TIMEOT.*A setting may be mistaken/u);
});

void t.test('--config names the file of settings, before a command or behind it', async (t) => {
  const folder = testFolder(t, { 'hydrant.toml': 'http_port = 4321\n' });
  for (const args of [
    ['--config', `${folder}/hydrant.toml`, 'greet'],
    ['greet', '--config', `${folder}/hydrant.toml`],
  ]) {
    const service = run(t, {}, args);
    t.same(await service.exited, [0, null]);
    t.match(service.log(), /"args":\[\],"port":4321/u);
  }
});

void t.test('not ready while it starts, and a signal then ends it cleanly', async (t) => {
  const service = run(t, { FIXTURE_START: 'hang', LOG_FORMAT: 'text' });
  await service.saying('second starts');
  const address = /http:\/\/127\.0\.0\.1:\d+/u.exec(service.log())?.[0] ?? '';

  t.match(await (await fetch(`${address}/readyz`)).json(), {
    status: 'fail',
    checks: { process: { status: 'fail', detail: 'is starting' } },
  });
  service.child.kill('SIGINT');

  t.same(await service.exited, [0, null]);
  t.match(service.log(), /INFO: second stops/u);
  t.notMatch(service.log(), 'Started');
});

void t.test('a component that hangs is named and the process ends with 1 within the timeout', async (t) => {
  const service = run(t, { FIXTURE_STOP: 'hang', SHUTDOWN_TIMEOUT: '1200ms' });
  await service.saying('"Started"');
  const begun = performance.now();
  service.child.kill('SIGTERM');

  t.same(await service.exited, [1, null]);
  t.match(service.log(), 'second: it did not stop before the deadline');
  t.match(service.log(), 'first stops');
  t.ok(performance.now() - begun < 10_000);
});

void t.test('a second signal ends the process at once', async (t) => {
  for (const [signal, code] of [
    ['SIGTERM', 143],
    ['SIGINT', 130],
  ] as const) {
    const service = run(t, { FIXTURE_STOP: 'hang' });
    await service.saying('"Started"');
    service.child.kill('SIGTERM');
    await service.saying('second stops');
    service.child.kill(signal);

    t.same(await service.exited, [code, null]);
  }
});

void t.test('an error that nobody caught is logged and ends the process with 70', async (t) => {
  for (const [later, message] of [
    ['throw', 'thrown later'],
    ['reject', 'rejected later'],
  ] as const) {
    const service = run(t, { FIXTURE_LATER: later });

    t.same(await service.exited, [70, null]);
    t.match(service.log(), new RegExp(`"level":"fatal".*${message}.*it is a defect of the program`, 'u'));
  }
});

void t.test('a start that fails stops what was started and ends with 1', async (t) => {
  const service = run(t, { FIXTURE_START: 'fail' });

  t.same(await service.exited, [1, null]);
  t.match(service.log(), 'first stops');
  t.match(service.log(), /"level":"fatal".*second cannot start.*"msg":"Cannot start"/u);
});

void t.test('wrong settings end with 78 and all problems before anything starts', async (t) => {
  const service = run(t, { SHUTDOWN_TIMEOUT: '25', FIXTURE_STOP: 'explode', FIXTURE_KIND: 'unknown' });

  t.same(await service.exited, [78, null]);
  for (const name of ['SHUTDOWN_TIMEOUT', 'FIXTURE_STOP', 'FIXTURE_KIND'])
    t.match(service.log(), `Expected \`${name}\``);
  t.notMatch(service.log(), 'Starting');
  t.equal(service.output(), '');
});

void t.test('options and commands are answered without starting the service', async (t) => {
  const cases = [
    { args: ['--help'], output: /greet +Says hello[^]*SHUTDOWN_TIMEOUT/u },
    { args: ['-h'], output: /^Usage: hydrant-fixture/u },
    { args: ['help'], output: /^Usage: hydrant-fixture \[option\] \[command\]/u },
    { args: ['help', 'greet'], output: /^Usage: hydrant-fixture greet\n\nSays hello to its arguments\.\n\n {2}NAME/u },
    { args: ['greet', '--help'], output: /^Usage: hydrant-fixture greet/u },
    { args: ['greet', 'a', '-h'], output: /^Usage: hydrant-fixture greet/u },
    { args: ['greet', '--', '-h'], log: /"args":\["--","-h"\]/u },
    { args: ['--version'], output: /^hydrant-fixture 0\.0\.0\n$/u },
    { args: ['--check-config'], output: /well/u },
    { args: ['--print-config'], output: /^SHUTDOWN_TIMEOUT=25s$/mu },
    { args: ['greet', 'a', '--b'], log: /"args":\["a","--b"\],"port":0,"msg":"Hello"/u },
    { args: ['greet', 'refuse'], log: /^\{.*\}\nExpected a name to greet, got none\n$/u, code: 78 },
    { args: ['greet', 'fail'], log: /"level":"fatal".*nobody to greet/u, code: 1 },
    { args: ['gret'], log: /did you mean "greet"\?/u, code: 78 },
    { args: ['--no-secrets'], log: /together with `--check-config`/u, code: 78 },
    { args: ['--check-config', '--no-secrets'], output: /well/u },
    {
      args: ['explode'],
      log: /Expected options and a command \("greet"\), got "explode"; `--help` tells what there is/u,
      code: 78,
    },
  ];
  for (const { args, output = /^$/u, log = /^$/u, code = 0 } of cases) {
    const service = run(t, {}, args);
    t.same(await service.exited, [code, null], args.join(' '));
    t.match(service.output(), output);
    t.match(service.log(), log);
    t.notMatch(service.log(), 'Starting');
  }
});

void t.test('a command is asked to end by a signal', async (t) => {
  const service = run(t, {}, ['greet', 'wait']);
  await service.saying('Hello');
  service.child.kill('SIGTERM');

  t.same(await service.exited, [0, null]);
});

void t.test('options stand before the command, those for settings and for help behind it, too', (t) => {
  const greet = { name: 'greet' };
  const plain = { command: undefined, args: [], settings: {}, withoutSecrets: false };
  const cases: readonly (readonly [readonly string[], unknown])[] = [
    [[], { ...plain, action: 'run' }],
    [['--check-config'], { ...plain, action: 'check-config' }],
    [['--check-config', '--no-secrets'], { ...plain, action: 'check-config', withoutSecrets: true }],
    [['-h'], { ...plain, action: 'help' }],
    [['help'], { ...plain, action: 'help' }],
    [['help', 'greet'], { ...plain, action: 'help', command: greet }],
    [['--help', 'greet'], { ...plain, action: 'help', command: greet }],
    [['greet', '--help', 'x'], { ...plain, action: 'help', command: greet, args: ['--help', 'x'] }],
    [['greet', '--', '--help'], { ...plain, action: 'run', command: greet, args: ['--', '--help'] }],
    [
      ['--file', 'a.toml', 'greet', 'x'],
      { ...plain, action: 'run', command: greet, args: ['x'], settings: { OLD_FILE: 'a.toml' } },
    ],
    [
      ['greet', '--file', 'a.toml', 'x'],
      { ...plain, action: 'run', command: greet, args: ['x'], settings: { OLD_FILE: 'a.toml' } },
    ],
    [
      ['greet', '--', '--file', 'a.toml'],
      { ...plain, action: 'run', command: greet, args: ['--', '--file', 'a.toml'] },
    ],
    [['--file=a.toml', '--help'], { ...plain, action: 'help', settings: { OLD_FILE: 'a.toml' } }],
    [['--file'], 'arguments-invalid'],
    [['--file='], 'arguments-invalid'],
    [['greet', '--file'], 'arguments-invalid'],
    [['--no-secrets'], 'arguments-invalid'],
    [['--explode'], 'arguments-invalid'],
    [['--help=yes'], 'arguments-invalid'],
    [['explode'], 'arguments-invalid'],
    [['help', 'explode'], 'arguments-invalid'],
  ];
  for (const [args, expected] of cases) {
    let found: unknown;
    try {
      found = readArguments(args, [greet], [{ name: 'file', setting: 'OLD_FILE' }]);
    } catch (error) {
      found = errorCode(error);
    }
    t.same(found, expected, args.join(' '));
  }
  t.end();
});

void t.test('a schema may depend on another setting, from either source', (t) => {
  const folder = testFolder(t, { 'hydrant.toml': 'kind = "special"\nSPECIAL = "1"\n' });
  const base = { KIND: { doc: 'Kind.', format: text, default: null, required: true } } as const satisfies Schema;
  const special = {
    SPECIAL: { doc: 'Special.', format: text, default: null, required: true },
  } as const satisfies Schema;
  const service = {
    schema: (lookup: (name: string) => string | undefined): typeof base =>
      lookup('KIND') === 'special' ? { ...base, ...special } : base,
    input: (_env: unknown, lookup: (name: string) => string | undefined) => ({
      problems: lookup('KIND') === 'odd' ? ['Expected `KIND` to be known'] : [],
    }),
  };
  const problemsOf = (env: Readonly<Record<string, string>>): string => {
    try {
      return Object.keys(loadServiceConfig(service, env).config).join(' ');
    } catch (error) {
      return toError(error).message;
    }
  };

  t.equal(problemsOf({ CONFIG_FILE: `${folder}/hydrant.toml` }), 'KIND SPECIAL');
  t.match(problemsOf({ KIND: 'special' }), 'Expected `SPECIAL` to be text, it is not set');
  t.match(
    problemsOf({ KIND: 'odd', CONFIG_FILE: `${folder}/none.toml` }),
    /^Expected `KIND` to be known\nExpected `CONFIG_FILE` to name/u,
  );
  t.end();
});
