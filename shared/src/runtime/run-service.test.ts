import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { eventually } from '@hydrant/testing/eventually';

/** Without what tap adds to measure and mock, which makes each start slow. */
const loader = process.execArgv.filter((argument) => argument.includes('typescript') || argument.includes('conditions'));
const fixture = fileURLToPath(new URL('./run-service-fixture.ts', import.meta.url));

interface Run {
  readonly child: ChildProcess;
  log(): string;
  output(): string;
  readonly exited: Promise<unknown[]>;
}

interface Test {
  teardown(action: () => unknown): void;
}

function run(t: Test, env: Readonly<Record<string, string>>, args: readonly string[] = []): Run {
  const child = spawn(process.execPath, [...loader, fixture, ...args], { env: { PATH: process.env['PATH'], ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  let log = '';
  let output = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => { log += text; });
  child.stdout.setEncoding('utf8').on('data', (text: string) => { output += text; });
  t.teardown(() => child.kill('SIGKILL'));
  return { child, log: () => log, output: () => output, exited: once(child, 'exit') };
}

void t.test('SIGTERM stops the components in reverse and ends with 0', async (t) => {
  const service = run(t, {});
  await eventually(() => service.log().includes('"Started"'), { timeoutMs: 20_000 });
  const address = /http:\/\/127\.0\.0\.1:\d+/u.exec(service.log())?.[0] ?? '';

  t.equal((await fetch(`${address}/livez`)).status, 200);
  t.same(await (await fetch(`${address}/readyz`)).json(), { status: 'pass', checks: { fixture: { status: 'pass' } } });
  t.match(await (await fetch(`${address}/metrics`)).text(), /hydrant_build_info\{service="hydrant-fixture",version="0.0.0"\} 1/u);
  service.child.kill('SIGTERM');

  t.same(await service.exited, [0, null]);
  t.ok(service.log().indexOf('second stops') < service.log().indexOf('first stops'));
});

void t.test('a component that hangs is named and the process ends with 1 within the timeout', async (t) => {
  const service = run(t, { STOP_BEHAVIOUR: 'hang', SHUTDOWN_TIMEOUT: '1200ms' });
  await eventually(() => service.log().includes('"Started"'), { timeoutMs: 20_000 });
  service.child.kill('SIGTERM');

  t.same(await service.exited, [1, null]);
  t.match(service.log(), 'second: it did not stop before the deadline');
  t.match(service.log(), 'first stops');
});

void t.test('a second signal ends the process at once', async (t) => {
  const service = run(t, { STOP_BEHAVIOUR: 'hang' });
  await eventually(() => service.log().includes('"Started"'), { timeoutMs: 20_000 });
  service.child.kill('SIGTERM');
  await eventually(() => service.log().includes('second stops'));
  service.child.kill('SIGTERM');

  t.same(await service.exited, [143, null]);
});

void t.test('wrong settings end with 78 and all problems before anything starts', async (t) => {
  const service = run(t, { SHUTDOWN_TIMEOUT: '25', STOP_BEHAVIOUR: 'explode' });

  t.same(await service.exited, [78, null]);
  t.match(service.log(), '`SHUTDOWN_TIMEOUT`');
  t.match(service.log(), '`STOP_BEHAVIOUR`');
  t.notMatch(service.log(), 'Starting');
});

void t.test('the options answer without starting', async (t) => {
  const cases = [['--help', 'SHUTDOWN_TIMEOUT'], ['--version', 'hydrant-fixture 0.0.0'], ['--check-config', 'well'], ['--print-config', 'SHUTDOWN_TIMEOUT=25s']] as const;
  for (const [option, expected] of cases) {
    const service = run(t, {}, [option]);
    t.same(await service.exited, [0, null], option);
    t.match(service.output(), expected);
  }
});
