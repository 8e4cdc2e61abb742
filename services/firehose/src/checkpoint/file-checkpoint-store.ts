/** Keeps the checkpoint in one JSON file, replaced as a whole. For a process that owns its folder: nothing guards against a second one. */
import { mkdir, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Clock } from '@hydrant/shared/foundation/clock';
import { errorCode } from '@hydrant/shared/foundation/errors';
import { replaceFile } from '@hydrant/shared/spool/folder/atomic-file';
import { parseNamespacesAt, parseStoredIndex, type Checkpoint, type CheckpointStore } from './checkpoint-store.ts';

function readFields(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? { ...value } : {};
  } catch {
    // Refused below with the file's name: a text that is not JSON has no index.
    return {};
  }
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (thrown) {
    if (errorCode(thrown) === 'ENOENT') return undefined;
    throw thrown;
  }
}

export function createFileCheckpointStore({ path, clock }: { readonly path: string; readonly clock: Clock }): CheckpointStore {
  return {
    description: path,
    async load() {
      await mkdir(dirname(path), { recursive: true });
      const text = await readIfThere(path);
      if (text === undefined) return undefined;
      const { index, filter, source, namespaces_at: namespacesAt } = readFields(text);
      const stored = typeof index === 'number' ? String(index) : JSON.stringify(index ?? text);
      const checked = parseStoredIndex(stored, `the file ${path}`, 'put the right index there or move the file away to begin as FIREHOSE_START says');
      return { index: checked, filter: typeof filter === 'string' ? filter : '', source: typeof source === 'string' ? source : '', ...parseNamespacesAt(namespacesAt) };
    },
    async save({ index, filter, source, namespacesAt }: Checkpoint) {
      const fields = { index, updated_at: new Date(clock.now()).toISOString(), filter, source, namespaces_at: namespacesAt };
      await replaceFile(path, `${JSON.stringify(fields)}\n`);
    },
  };
}
