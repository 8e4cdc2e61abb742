/**
 * A process of a measurement: started from dist, spoken to by its first line of output, measured by /proc, ended by its
 * id.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const repository = new URL('../../', import.meta.url);
/** A foreign program that has not ended by then is killed. */
const stopMs = 10_000;

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
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => {
    process.exit(1);
  });

/** `script` is a path below the repository, such as `simulator/dist/main.js`. */
export function startChild(script: string, args: readonly string[]): Child {
  return start(script, process.execPath, [fileURLToPath(new URL(script, repository)), ...args], {});
}

/** A service as users start it: by its installed command, which brings its own flags of Node.js. */
export function startCommand(command: string, env: Readonly<Record<string, string>>): Child {
  return start(command, fileURLToPath(new URL(`node_modules/.bin/${command}`, repository)), [], env);
}

/**
 * Anything a shell can start, in a process group of its own; memory and CPU are those of the whole group. Its stdout is
 * thrown away unless it is read by lines.
 */
export function startShell(command: string, env: Readonly<Record<string, string>>): Child {
  const child = spawn('sh', ['-c', command], {
    env: { PATH: process.env['PATH'] ?? '', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  const group = child.pid;
  if (group === undefined) throw new Error(`Expected a shell to start ${command}, it did not`);
  const kill = (signal: NodeJS.Signals): void => {
    try {
      process.kill(-group, signal);
    } catch {
      // The group has ended by itself.
    }
  };
  process.once('exit', () => {
    kill('SIGKILL');
  });
  return {
    ...observe(command, child, group),
    peakMemory: async () =>
      sum(await Promise.all((await groupMembers(group)).map((pid) => readMemory(pid, 'VmHWM').catch(() => 0)))),
    cpuSeconds: () => groupCpuSeconds(group),
    async stop() {
      kill('SIGTERM');
      const timer = setTimeout(() => {
        kill('SIGKILL');
      }, stopMs);
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
      clearTimeout(timer);
      kill('SIGKILL');
    },
  };
}

/** CPU time that the processes of a group have used so far, seconds; those that end meanwhile are left out. */
export async function groupCpuSeconds(group: number): Promise<number> {
  return sum(await Promise.all((await groupMembers(group)).map((pid) => readCpuSeconds(pid).catch(() => 0))));
}

/** What its processes have resident now, bytes. */
export async function groupMemory(group: number): Promise<number> {
  return sum(await Promise.all((await groupMembers(group)).map((pid) => readMemory(pid, 'VmRSS').catch(() => 0))));
}

async function groupMembers(group: number): Promise<readonly number[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/u.test(name)).map(Number);
  const groups = await Promise.all(pids.map(async (pid) => Number((await readStat(pid).catch(() => []))[2])));
  return pids.filter((_pid, at) => groups[at] === group);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

/** The fields of /proc/<pid>/stat that follow the name: state, parent, process group and so on. */
async function readStat(pid: number): Promise<readonly string[]> {
  const text = await readFile(`/proc/${String(pid)}/stat`, 'utf8');
  return text.slice(text.lastIndexOf(') ') + 2).split(' ');
}

/** Bytes; 0 of a process that has ended and is not buried yet. */
async function readMemory(pid: number, name: 'VmHWM' | 'VmRSS'): Promise<number> {
  const status = await readFile(`/proc/${String(pid)}/status`, 'utf8');
  return Number(new RegExp(`${name}:\\s+(\\d+) kB`, 'u').exec(status)?.[1] ?? 0) * 1024;
}

async function readCpuSeconds(pid: number): Promise<number> {
  const fields = await readStat(pid);
  const ticksPerSecond = 100;
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
}

function start(
  script: string,
  executable: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Child {
  const child: ChildProcess = spawn(executable, args, {
    env: { PATH: process.env['PATH'] ?? '', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  if (child.pid === undefined) throw new Error(`Expected ${script} to start, it did not`);
  running.add(child);
  child.once('exit', () => {
    running.delete(child);
  });
  return observe(script, child, child.pid);
}

function observe(script: string, child: ChildProcess, pid: number): Child {
  let log = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    log = (log + text).slice(-20_000);
  });
  if (child.stdout === null) throw new Error(`Expected ${script} to have an output`);
  const lines = createInterface({ input: child.stdout });
  const exit = new AbortController();
  child.once('exit', () => {
    exit.abort();
  });
  const fail = (): Error => new Error(`Expected ${script} to go on, it ended with ${String(child.exitCode)}:\n${log}`);

  return {
    pid,
    log: () => log,
    async line(accept) {
      for (;;) {
        if (exit.signal.aborted) throw fail();
        const [line] = (await once(lines, 'line', { signal: exit.signal }).catch(() => {
          throw fail();
        })) as [string];
        if (accept(line)) return line;
      }
    },
    peakMemory: () => readMemory(pid, 'VmHWM'),
    cpuSeconds: () => readCpuSeconds(pid),
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGTERM');
      await once(child, 'exit');
    },
  };
}
