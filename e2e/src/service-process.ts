/**
 * One real process of Hydrant: starts it from dist, waits for `/readyz`, kills it with -9, stops it with SIGTERM, starts it again with the same settings.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
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
  /** The most memory it ever used, bytes (VmHWM), or undefined when it is not running. */
  readonly pid: number | undefined;
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
  if (address === null || typeof address === 'string') throw new Error('Expected a TCP address from a server on port 0');
  return address.port;
}

/** Prepares a process of `service`; `settings` are its environment beside PATH. */
export async function createServiceProcess(service: ServiceName, settings: Readonly<Record<string, string>>, args: readonly string[] = []): Promise<ServiceProcess> {
  const port = await freePort();
  const main = fileURLToPath(new URL(`services/${service}/dist/main.js`, repository));
  const env = { PATH: process.env['PATH'] ?? '', HTTP_PORT: String(port), LOG_LEVEL: 'info', ...settings };
  let child: ChildProcess | undefined;
  let log = '';
  let output = '';

  async function gone(): Promise<number | null> {
    const ending = child;
    if (ending === undefined) return null;
    if (ending.exitCode === null && ending.signalCode === null) await once(ending, 'exit');
    child = undefined;
    return ending.exitCode;
  }

  async function ready(): Promise<void> {
    await eventually(async () => {
      if (child === undefined || child.exitCode !== null) throw new Error(`Expected ${service} to run, it ended; its log:\n${log}`);
      const response = await fetch(`http://127.0.0.1:${String(port)}/readyz`);
      if (!response.ok) throw new Error(`Expected ${service} to be ready, got ${await response.text()}`);
      return true;
    }, { timeoutMs: 30_000, message: `${service} becomes ready` });
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
      const started = spawn(process.execPath, [main, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] });
      child = started;
      running.add(started);
      started.once('exit', () => running.delete(started));
      started.stderr.setEncoding('utf8').on('data', (text: string) => { log = (log + text).slice(-logBytesKept); });
      started.stdout.setEncoding('utf8').on('data', (text: string) => { output = (output + text).slice(-logBytesKept); });
      if (wait) await ready();
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
  };
}
