/**
 * A nats-server with JetStream of its own for a test: up in some hundred milliseconds, in a private folder, on the
 * loopback address.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { findFreePorts } from './free-ports.ts';
import { makePrivateFolder, removePrivateFolder } from './private-folder.ts';
import { PrivateProcess } from './private-process.ts';
import { probe } from './probe.ts';
import { findNatsServer } from './requirements.ts';
import { withLevers, type ServerLevers } from './server-levers.ts';
import { readHelperArguments } from './test-like.ts';
import type { TestLike } from './test-like.ts';

export interface PrivateNatsOptions {
  /** More lines of its configuration, such as `max_payload: 1024`. */
  readonly config?: readonly string[];
}

export interface PrivateNats extends ServerLevers {
  readonly url: string;
  readonly port: number;
  /** Safe to call twice; called by itself when a test was given. */
  close(): Promise<void>;
}

/** For a test's `skip`: why it cannot be run, or false. */
export const withoutNatsServer: string | false =
  findNatsServer() === undefined ? 'nats-server is not installed' : false;

export async function startPrivateNats(
  first?: TestLike | PrivateNatsOptions,
  second?: PrivateNatsOptions,
): Promise<PrivateNats> {
  const { test, options } = readHelperArguments<PrivateNatsOptions>(first, second);
  const folder = await makePrivateFolder('nats');
  const [port] = (await findFreePorts(1)) as [number];
  const configFile = join(folder, 'server.conf');
  await writeFile(
    configFile,
    [`listen: 127.0.0.1:${port}`, `jetstream { store_dir: "${folder}" }`, ...(options?.config ?? []), ''].join('\n'),
  );
  const server = new PrivateProcess({
    name: 'nats-server',
    command: findNatsServer() ?? 'nats-server',
    args: ['-c', configFile],
    env: { PATH: process.env['PATH'] ?? '/usr/bin:/bin', LANG: 'C' },
    folder,
    logFile: join(folder, 'server.log'),
    // It greets whoever connects, before any login and without TLS.
    isReady: async (readOutput) =>
      (await readOutput()).includes('Server is ready') &&
      probe(port, Buffer.alloc(0), (bytes) => bytes.includes('INFO ')),
    readyTimeoutMs: 10_000,
    pollMs: 10,
  });
  await server.start();
  const nats = withLevers(server, {
    url: `nats://127.0.0.1:${port}`,
    port,
    async close() {
      await server.kill();
      await removePrivateFolder(folder);
    },
  });
  test?.teardown(() => nats.close());
  return nats;
}
