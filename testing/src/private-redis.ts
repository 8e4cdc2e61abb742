/** A Redis of its own for a test: up in some milliseconds, in a private folder, on the loopback address. */
import { join } from 'node:path';
import { findFreePorts } from './free-ports.ts';
import { makePrivateFolder, removePrivateFolder } from './private-folder.ts';
import { PrivateProcess } from './private-process.ts';
import { probe } from './probe.ts';
import { withLevers, type ServerLevers } from './server-levers.ts';
import { readHelperArguments } from './test-like.ts';
import type { TestLike } from './test-like.ts';

export interface PrivateRedisOptions {
  /** Default true: what was written is there again after `kill` and `start`. False: it comes back empty. */
  readonly persistent?: boolean;
  /** More arguments for redis-server, such as `['--requirepass', 'secret']`. */
  readonly args?: readonly string[];
  /** Beside the plain port another one with TLS, at which clients must show a certificate of that authority. */
  readonly tls?: { readonly certFile: string; readonly keyFile: string; readonly caFile: string };
}

export interface PrivateRedis extends ServerLevers {
  readonly url: string;
  readonly port: number;
  /** With `tls`. */
  readonly tlsUrl: string;
  /** Another address of the same Redis, for instance through a fault proxy. */
  urlAt(port: number): string;
  /** Safe to call twice; called by itself when a test was given. */
  close(): Promise<void>;
}

export async function startPrivateRedis(
  first?: TestLike | PrivateRedisOptions,
  second?: PrivateRedisOptions,
): Promise<PrivateRedis> {
  const { test, options } = readHelperArguments<PrivateRedisOptions>(first, second);
  const folder = await makePrivateFolder('redis');
  const [port, tlsPort] = (await findFreePorts(2)) as [number, number];
  const { tls } = options ?? {};
  const security =
    tls === undefined
      ? []
      : [
          '--tls-port',
          String(tlsPort),
          '--tls-cert-file',
          tls.certFile,
          '--tls-key-file',
          tls.keyFile,
          '--tls-ca-cert-file',
          tls.caFile,
        ];
  const durability =
    options?.persistent === false ? ['--appendonly', 'no'] : ['--appendonly', 'yes', '--appendfsync', 'no'];
  const server = new PrivateProcess({
    name: 'Redis',
    command: 'redis-server',
    args: [
      '--port',
      String(port),
      '--bind',
      '127.0.0.1',
      '--dir',
      folder,
      '--save',
      '',
      ...durability,
      ...security,
      ...(options?.args ?? []),
    ],
    env: { PATH: process.env['PATH'] ?? '/usr/bin:/bin', LANG: 'C' },
    folder,
    logFile: join(folder, 'server.log'),
    // An error reply (NOAUTH) is an answer too; LOADING is not.
    isReady: () => probe(port, Buffer.from('PING\r\n'), (bytes) => !bytes.includes('LOADING')),
    readyTimeoutMs: 10_000,
    pollMs: 5,
  });
  await server.start();
  const urlAt = (at: number): string => `redis://127.0.0.1:${at}/0`;
  const redis = withLevers(server, {
    url: urlAt(port),
    urlAt,
    port,
    tlsUrl: `rediss://127.0.0.1:${tlsPort}/0`,
    async close() {
      await server.kill();
      await removePrivateFolder(folder);
    },
  });
  test?.teardown(() => redis.close());
  return redis;
}
