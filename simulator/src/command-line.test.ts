/**
 * Arguments and environment variables as options, and the command itself as a process.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { helpText, readCommandLine } from './command-line.ts';
import { openRaw } from './raw-client.ts';

const MAIN = fileURLToPath(new URL('./main.ts', import.meta.url));

t.test('arguments win over variables, variables over defaults', (t) => {
  const command = readCommandLine(['--port', '1', '--speed', '20', '--loop', '--shift-to-now', '--heartbeat', '5s'], {
    SIMULATOR_PORT: '2',
    SIMULATOR_CONTROL_PORT: '3',
    SIMULATOR_HOST: '0.0.0.0',
    SIMULATOR_PAUSED: 'true',
    SIMULATOR_RECORDING: '',
  });

  t.strictSame(command, {
    help: false,
    options: {
      recording: 'crashing-cluster',
      host: '0.0.0.0',
      port: 1,
      controlPort: 3,
      bufferSize: 5000,
      heartbeatMs: 5000,
      speed: 20,
      rounds: Infinity,
      paused: true,
      shiftToNow: true,
      lists: 'recorded',
      writes: 'apart',
    },
  });
  t.end();
});

t.test('load is a rate or as much as is read', (t) => {
  t.match(readCommandLine(['--load', '500', '--load-total', '9', '--load-events-per-frame', '3'], {}), {
    options: { load: { eventsPerSecond: 500, total: 9, eventsPerFrame: 3 }, writes: 'apart' },
  });
  t.strictSame(
    (readCommandLine(['--load', 'max'], {}) as { options: { load: unknown; writes: unknown } }).options.load,
    {},
  );
  t.match(readCommandLine(['--load', 'max'], {}), { options: { writes: 'joined' } });
  t.match(readCommandLine(['--speed', 'instant'], {}), { options: { speed: 'instant' } });
  t.end();
});

t.test('every problem is named at once', (t) => {
  const env = { SIMULATOR_SPEED: 'fast', SIMULATOR_LOOP: 'yes', SIMULATOR_HEARTBEAT: '30' };

  t.throws(() => readCommandLine(['--port', 'x', '--writes', 'often'], env), {
    code: 'simulator-options',
    message: [
      'Expected `--port` to be a whole number, got "x"',
      'Expected `SIMULATOR_HEARTBEAT` to be a duration such as 30s, got "30"',
      'Expected `SIMULATOR_SPEED` to be a number above 0 or instant, got "fast"',
      'Expected `SIMULATOR_LOOP` to be true or false, got "yes"',
      'Expected `--writes` to be apart or joined, got "often"',
    ].join('\n'),
  });
  t.throws(() => readCommandLine(['--colour', 'red'], {}), { message: /--colour.*see --help/s });
  t.end();
});

t.test('help names every argument', (t) => {
  t.strictSame(readCommandLine(['--help'], {}), { help: true });
  for (const name of [
    'recording',
    'port',
    'control-port',
    'buffer-size',
    'speed',
    'loop',
    'shift-to-now',
    'load',
    'token',
  ]) {
    t.ok(helpText().includes(`--${name}`), name);
  }
  t.end();
});

t.test('the command serves until it is told to stop', { timeout: 30_000 }, async (t) => {
  const child = spawn(
    process.execPath,
    [...process.execArgv, MAIN, '--port', '0', '--control-port', '0', '--speed', 'instant'],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  t.teardown(() => child.kill('SIGKILL'));
  const output: string[] = [];
  child.stdout.setEncoding('utf8').on('data', (text: string) => output.push(text));
  while (!output.join('').includes('has played 363 frames')) await once(child.stdout, 'data');

  const port = Number(
    /listens at http:\/\/127\.0\.0\.1:(\d+), control at http:\/\/127\.0\.0\.1:\d+\/control\/state/.exec(
      output.join(''),
    )?.[1],
  );
  t.equal((await openRaw(port, '/v1/event/stream?namespace=*').frames(363)).length, 363);
  child.kill('SIGTERM');

  t.strictSame(await once(child, 'exit'), [0, null]);
});

t.test('a wrong setting ends the command with 78 and a sentence', { timeout: 30_000 }, async (t) => {
  const child = spawn(process.execPath, [...process.execArgv, MAIN, '--recording', 'nothing'], {
    stdio: ['ignore', 'inherit', 'pipe'],
  });
  const output: string[] = [];
  child.stderr.setEncoding('utf8').on('data', (text: string) => output.push(text));

  t.strictSame(await once(child, 'exit'), [78, null]);
  t.match(output.join(''), /got `nothing`; use one of burst/);
});
