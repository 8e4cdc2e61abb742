/** One of our services as a measured process. */
import { once } from 'node:events';
import { createServer } from 'node:net';
import { startCommand, type Child } from './child.ts';

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

/** `command` as it is installed, such as `hydrant-firehose`. Resolves when its `/readyz` says so. */
export async function startService(
  command: string,
  port: number,
  settings: Readonly<Record<string, string>>,
): Promise<Child> {
  const child = startCommand(command, { HTTP_PORT: String(port), LOG_LEVEL: 'warn', ...settings });
  const limitMs = 30_000;
  const startedAt = performance.now();
  let last = 'no answer';
  while (performance.now() - startedAt < limitMs) {
    const response = await fetch(`http://127.0.0.1:${String(port)}/readyz`).catch(() => undefined);
    if (response?.ok === true) return child;
    last = (await response?.text()) ?? 'no answer';
    await new Promise((resolve) => {
      setTimeout(resolve, 50);
    });
  }
  throw new Error(`Expected ${command} to become ready within 30 s, got: ${last}\n${child.log()}`);
}
