/**
 * Free TCP ports on the loopback address, from below the range that the system gives to outgoing connections: a server
 * that is killed and started again on its port then finds it free.
 */
import { createServer } from 'node:net';
import type { Server } from 'node:net';

const lowest = 10_000;
const count = 20_000;

function tryListen(port: number): Promise<Server | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => {
      resolve(undefined);
    });
    server.listen(port, '127.0.0.1', () => {
      resolve(server);
    });
  });
}

export async function findFreePorts(wanted: number): Promise<number[]> {
  const held: Server[] = [];
  const ports: number[] = [];
  for (let attempt = 0; ports.length < wanted && attempt < 1000; attempt += 1) {
    const port = lowest + Math.floor(Math.random() * count);
    if (ports.includes(port)) continue;
    const server = await tryListen(port);
    if (server === undefined) continue;
    held.push(server);
    ports.push(port);
  }
  await Promise.all(
    held.map(
      (server) =>
        new Promise((resolve) => {
          server.close(resolve);
        }),
    ),
  );
  if (ports.length < wanted)
    throw new Error(
      `Expected to find ${wanted} free ports between ${lowest} and ${lowest + count}, found ${ports.length}`,
    );
  return ports;
}
