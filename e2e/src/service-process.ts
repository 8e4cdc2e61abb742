/**
 * One real process of Hydrant: starts it from dist, waits for `/readyz`, kills it with -9, stops it with SIGTERM,
 * starts it again with the same settings.
 */
import { spawn, type ChildProcess, type ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { eventually } from '@hydrant/testing/eventually';

const repository = new URL('../../', import.meta.url);
const logBytesKept = 200_000;

export type ServiceName = 'firehose' | 'sink-worker' | 'crashloop-detector' | 'standalone';

export interface ServiceProcess {
  readonly service: ServiceName;
  readonly port: number;
  /** What it wrote to stderr since the first start, the newest part. */
  log(): string;
  /** What it wrote to stdout since the first start, the newest part. */
  output(): string;
  start(options?: { readonly wait?: boolean }): Promise<void>;
  /** Resolves when `/readyz` says 200. */
  ready(): Promise<void>;
  /** SIGKILL; resolves when it is gone. */
  kill(): Promise<void>;
  /** SIGTERM; resolves with the exit code. */
  stop(): Promise<number | null>;
  signal(name: NodeJS.Signals): void;
  /** The value of a series on `/metrics`, written as there; undefined when there is none. */
  metric(series: string): Promise<number | undefined>;
  /** The most memory it ever used, in bytes (Linux). */
  peakMemory(): Promise<number>;
  readonly pid: number | undefined;
  /** False before the start, after `kill` and `stop`, and when it ended by itself. */
  readonly isRunning: boolean;
  /** Calls `listener` with all that it writes from now on. */
  onOutput(listener: (text: string) => void): void;
}

/** None outlives the test, however it ends. */
const running = new Set<ChildProcess>();
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** A port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string')
    throw new Error('Expected a TCP address from a server on port 0');
  return address.port;
}

async function readMetric(port: number, series: string): Promise<number | undefined> {
  const text = await (await fetch(`http://127.0.0.1:${String(port)}/metrics`)).text();
  const line = text.split('\n').find((candidate) => candidate.startsWith(`${series} `));
  return line === undefined ? undefined : Number(line.slice(series.length + 1));
}

/** What `/readyz?verbose` says of a thing that the process needs, and the status of the whole. */
export async function readCheck(
  { port }: Pick<ServiceProcess, 'port'>,
  name: string,
): Promise<{ readonly status: number; readonly detail: string }> {
  const response = await fetch(`http://127.0.0.1:${String(port)}/readyz?verbose`, {
    signal: AbortSignal.timeout(5_000),
  });
  const { checks } = (await response.json()) as {
    readonly checks: Readonly<Record<string, { readonly detail?: string }>>;
  };
  return { status: response.status, detail: checks[name]?.detail ?? '' };
}

async function readPeakMemory(pid: number | undefined): Promise<number> {
  const status = await readFile(`/proc/${String(pid)}/status`, 'utf8');
  return Number(/^VmHWM:\s+(\d+) kB$/mu.exec(status)?.[1]) * 1024;
}

export interface CommandResult {
  readonly code: number | null;
  readonly output: string;
  readonly log: string;
}

function mainOf(service: ServiceName): string {
  return fileURLToPath(new URL(`services/${service}/dist/main.js`, repository));
}

function spawnService(
  service: ServiceName,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): ChildProcessByStdio<null, Readable, Readable> {
  const started = spawn(process.execPath, [mainOf(service), ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  running.add(started);
  started.once('exit', () => running.delete(started));
  return started;
}

/** Runs a command of a service from beginning to end. */
export async function runCommand(
  service: ServiceName,
  settings: Readonly<Record<string, string>>,
  args: readonly string[],
): Promise<CommandResult> {
  const child = spawn(process.execPath, [mainOf(service), ...args], {
    env: { PATH: process.env['PATH'] ?? '', ...settings },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  running.add(child);
  let output = '';
  let log = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    log += text;
  });
  await once(child, 'close');
  running.delete(child);
  return { code: child.exitCode, output, log };
}

/** Prepares a process of `service`; `settings` are its environment beside PATH. */
export async function createServiceProcess(
  service: ServiceName,
  settings: Readonly<Record<string, string>>,
  args: readonly string[] = [],
): Promise<ServiceProcess> {
  const port = await freePort();
  const env = { PATH: process.env['PATH'] ?? '', HTTP_PORT: String(port), LOG_LEVEL: 'info', ...settings };
  let child: ChildProcess | undefined;
  let log = '';
  let output = '';
  const listeners: ((text: string) => void)[] = [];

  async function gone(): Promise<number | null> {
    const ending = child;
    if (ending === undefined) return null;
    if (ending.exitCode === null && ending.signalCode === null) await once(ending, 'exit');
    child = undefined;
    return ending.exitCode;
  }

  async function ready(): Promise<void> {
    await eventually(
      async () => {
        if (child === undefined || child.exitCode !== null)
          throw new Error(`Expected ${service} to run, it ended; its log:\n${log}`);
        const response = await fetch(`http://127.0.0.1:${String(port)}/readyz`);
        if (!response.ok) throw new Error(`Expected ${service} to be ready, got ${await response.text()}`);
        return true;
      },
      { timeoutMs: 120_000, message: `${service} becomes ready` },
    );
  }

  return {
    service,
    port,
    log: () => log,
    output: () => output,
    get pid() {
      return child?.pid;
    },
    async start({ wait = true } = {}) {
      const started = spawnService(service, args, env);
      child = started;
      started.stderr.setEncoding('utf8').on('data', (text: string) => {
        log = (log + text).slice(-logBytesKept);
      });
      started.stdout.setEncoding('utf8').on('data', (text: string) => {
        output = (output + text).slice(-logBytesKept);
      });
      for (const stream of [started.stderr, started.stdout])
        for (const listener of listeners) stream.on('data', listener);
      if (wait) await ready();
    },
    get isRunning() {
      return child !== undefined && child.exitCode === null && child.signalCode === null;
    },
    onOutput(listener) {
      listeners.push(listener);
    },
    ready,
    async kill() {
      child?.kill('SIGKILL');
      await gone();
    },
    async stop() {
      child?.kill('SIGTERM');
      return gone();
    },
    signal(name) {
      child?.kill(name);
    },
    metric: (series) => readMetric(port, series),
    peakMemory: () => readPeakMemory(child?.pid),
  };
}
