/**
 * One server process in a process group of its own, with its output in a file: started, stopped, killed, started again.
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { closeSync, fstatSync, openSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { guardGroup } from './guardian.ts';

export interface PrivateProcessOptions {
  /** For error texts, such as `RabbitMQ`. */
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly folder: string;
  readonly logFile: string;
  /** True once the server answers. `readOutput` gives what it has printed since this start. */
  readonly isReady: (readOutput: () => Promise<string>) => Promise<boolean>;
  readonly readyTimeoutMs: number;
  readonly pollMs: number;
}

export class PrivateProcess {
  readonly #options: PrivateProcessOptions;
  #child: ChildProcess | undefined;
  #outputStart = 0;

  constructor(options: PrivateProcessOptions) {
    this.#options = options;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Resolves when the server answers; rejects with the end of its output when it does not. */
  async start(): Promise<void> {
    if (this.#child !== undefined)
      throw new Error(`Expected ${this.#options.name} to be stopped before start, but it runs`);
    const child = this.#spawn();
    const limit = Date.now() + this.#options.readyTimeoutMs;
    while (Date.now() < limit && this.#child === child) {
      if (await this.#options.isReady(() => this.#readOutput())) return;
      await sleep(this.#options.pollMs);
    }
    const tail = (await this.#readOutput()).split('\n').slice(-30).join('\n');
    await this.kill();
    throw new Error(
      `Expected ${this.#options.name} to answer within ${this.#options.readyTimeoutMs} ms of its start, it did not. Its output ends in:\n${tail}`,
    );
  }

  /** Asks it to end (SIGTERM) and waits until it has; kills it after `timeoutMs`. */
  async stop(timeoutMs = 20_000): Promise<void> {
    const child = this.#child;
    if (child === undefined) return;
    const ended = this.#ended(child);
    signal(child.pid, 'SIGTERM');
    const timer = setTimeout(() => {
      this.#killGroup(child);
    }, timeoutMs);
    await ended;
    clearTimeout(timer);
    // What the server started beside itself goes too.
    this.#killGroup(child);
  }

  /** `kill -9` of the whole process group; resolves when it is gone. */
  async kill(): Promise<void> {
    const child = this.#child;
    if (child === undefined) return;
    const ended = this.#ended(child);
    this.#killGroup(child);
    await ended;
  }

  /** Freezes (`SIGSTOP`) the whole process group: connections stay open and nothing answers. */
  freeze(): void {
    signal(groupOf(this.#child), 'SIGSTOP');
  }

  thaw(): void {
    signal(groupOf(this.#child), 'SIGCONT');
  }

  #spawn(): ChildProcess {
    const log = openSync(this.#options.logFile, 'a');
    this.#outputStart = fstatSync(log).size;
    const child = spawn(this.#options.command, this.#options.args, {
      cwd: this.#options.folder,
      env: { ...this.#options.env },
      detached: true,
      stdio: ['ignore', log, log],
    });
    closeSync(log);
    // A test that forgets to close must end all the same; the guardian then ends the server.
    child.unref();
    child.once('error', () => {
      this.#child = undefined;
    });
    child.once('exit', () => {
      if (this.#child === child) this.#child = undefined;
    });
    guardGroup(child);
    this.#child = child;
    return child;
  }

  #ended(child: ChildProcess): Promise<void> {
    if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
    child.ref();
    return new Promise((resolve) => {
      child.once('exit', () => {
        resolve();
      });
    });
  }

  #killGroup(child: ChildProcess): void {
    signal(groupOf(child), 'SIGKILL');
  }

  async #readOutput(): Promise<string> {
    const output = await readFile(this.#options.logFile).catch(() => Buffer.alloc(0));
    return output.subarray(this.#outputStart).toString('utf8');
  }
}

function groupOf(child: ChildProcess | undefined): number | undefined {
  return child?.pid === undefined ? undefined : -child.pid;
}

function signal(target: number | undefined, name: NodeJS.Signals): void {
  if (target === undefined) return;
  try {
    process.kill(target, name);
  } catch {
    // It has ended by itself: what was asked for is the case.
  }
}
