/** How a process is called while it holds the lease: people find it by the host, and no two have the same. */
import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';

export function makeHolderName(): string {
  return `${hostname()}/${String(process.pid)}/${randomBytes(4).toString('hex')}`;
}
