/** A folder of its own for a private server; gone at the latest when the test process ends. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { guardFolder } from './guardian.ts';

export async function makePrivateFolder(purpose: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), `hydrant-test-${purpose}-`));
  guardFolder(folder);
  return folder;
}

export async function removePrivateFolder(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
}
