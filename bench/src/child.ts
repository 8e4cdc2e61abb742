/**
 * A process of a measurement: started from dist, spoken to by its first line of output, measured by /proc, ended by its id.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const repository = new URL('../../', import.meta.url);

export interface Child {
  readonly pid: number;
  /** Resolves with the next line of stdout that `accept` takes; rejects when the process ends before. */
  line(accept: (line: string) => boolean): Promise<string>;
  /** The most memory it has had resident so far, bytes. */
  peakMemory(): Promise<number>;
  /** CPU time used so far, seconds. */
  cpuSeconds(): Promise<number>;
  /** The newest part of its stderr. */
  log(): string;
  stop(): Promise<void>;
}

/** None outlives the measurement, however it ends. */
const running = new Set<ChildProcess>();
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** `script` is a path below the repository, such as `simulator/dist/main.js`. */
export function startChild(script: string, args: readonly string[]): Child {
  return start(script, process.execPath, [fileURLToPath(new URL(script, repository)), ...args], {});
}

/** A service as users start it: by its installed command, which brings its own flags of Node.js. */
export function startCommand(command: string, env: Readonly<Record<string, string>>): Child {
  return start(command, fileURLToPath(new URL(`node_modules/.bin/${command}`, repository)), [], env);
}

function start(script: string, executable: string, args: readonly string[], env: Readonly<Record<string, string>>): Child {
  const child: ChildProcess = spawn(executable, args, { env: { PATH: process.env['PATH'] ?? '', ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  let log = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => { log = (log + text).slice(-20_000); });
  if (child.stdout === null || child.pid === undefined) throw new Error(`Expected ${script} to start, it did not`);
  const lines = createInterface({ input: child.stdout });
  const { pid } = child;
  const exit = new AbortController();
  running.add(child);
  child.once('exit', () => {
    running.delete(child);
    exit.abort();
  });
  const fail = (): Error => new Error(`Expected ${script} to go on, it ended with ${String(child.exitCode)}:\n${log}`);

  return {
    pid,
    log: () => log,
    async line(accept) {
      for (;;) {
        if (exit.signal.aborted) throw fail();
        const [line] = (await once(lines, 'line', { signal: exit.signal }).catch(() => { throw fail(); })) as [string];
        if (accept(line)) return line;
      }
    },
    async peakMemory() {
      const status = await readFile(`/proc/${String(pid)}/status`, 'utf8');
      return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1] ?? NaN) * 1024;
    },
    async cpuSeconds() {
      const fields = (await readFile(`/proc/${String(pid)}/stat`, 'utf8')).split(') ')[1]?.split(' ') ?? [];
      const ticksPerSecond = 100;
      return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
    },
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGTERM');
      await once(child, 'exit');
    },
  };
}
