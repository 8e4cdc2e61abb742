/** A Redis Sentinel of its own for a test. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { findFreePorts } from './free-ports.ts';
import { makePrivateFolder, removePrivateFolder } from './private-folder.ts';
import { PrivateProcess } from './private-process.ts';
import { probe } from './probe.ts';
import type { TestLike } from './test-like.ts';

export interface PrivateSentinelOptions {
  /** Of the Redis that is the master at first, on the loopback address. */
  readonly masterPort: number;
  /** Under which it knows the master. */
  readonly masterName: string;
  /** How many Sentinels have to find that the master is down; default 1: it decides alone. */
  readonly quorum?: number;
}

/** Ended with the test. */
export async function startPrivateSentinel(
  test: TestLike,
  { masterPort, masterName, quorum = 1 }: PrivateSentinelOptions,
): Promise<{ readonly address: string }> {
  const folder = await makePrivateFolder('sentinel');
  const [port] = (await findFreePorts(1)) as [number];
  const config = join(folder, 'sentinel.conf');
  await writeFile(
    config,
    [
      `port ${port}`,
      'bind 127.0.0.1',
      `dir ${folder}`,
      `sentinel monitor ${masterName} 127.0.0.1 ${masterPort} ${quorum}`,
      `sentinel down-after-milliseconds ${masterName} 500`,
      `sentinel failover-timeout ${masterName} 5000`,
      '',
    ].join('\n'),
  );
  const sentinel = new PrivateProcess({
    name: 'Sentinel',
    command: 'redis-server',
    args: [config, '--sentinel'],
    env: { PATH: process.env['PATH'] ?? '/usr/bin:/bin', LANG: 'C' },
    folder,
    logFile: join(folder, 'sentinel.log'),
    isReady: () => probe(port, Buffer.from('PING\r\n'), (bytes) => bytes.includes('PONG')),
    readyTimeoutMs: 10_000,
    pollMs: 5,
  });
  test.teardown(async () => {
    await sentinel.kill();
    await removePrivateFolder(folder);
  });
  await sentinel.start();
  return { address: `127.0.0.1:${port}` };
}
