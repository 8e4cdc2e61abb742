/**
 * Keeps the checkpoint in a JSON file, replaced as a whole, and beside it those of other clusters and regions that were
 * read with the same folder. For a process that owns its folder: nothing guards against a second one.
 */
import { mkdir, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Clock } from '@hydrant/shared/foundation/clock';
import { errorCode, HydrantError } from '@hydrant/shared/foundation/errors';
import { replaceFile } from '@hydrant/shared/spool/folder/atomic-file';
import { identityKey, type StreamIdentity } from '../message/id-prefix.ts';
import { parseNotes, parseStoredIndex, type Checkpoint, type CheckpointStore } from './checkpoint-store.ts';

export interface FileCheckpointOptions extends StreamIdentity {
  readonly path: string;
  readonly clock: Clock;
}

const wayOut = 'put the right index there or move the file away to begin as FIREHOSE_START says';

type Fields = Readonly<Record<string, unknown>>;

function isRecord(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Whose the checkpoint at the top is. Without a name it is that of the region in its filter. */
function keyOfTop(
  { cluster: ofCluster, region: ofRegion, filter }: Fields,
  { cluster, region }: StreamIdentity,
): string {
  const [, filtered = region] = typeof filter === 'string' ? (/ region=(\S*)$/u.exec(filter) ?? []) : [];
  return identityKey({
    cluster: typeof ofCluster === 'string' ? ofCluster : cluster,
    region: typeof ofRegion === 'string' ? ofRegion : filtered,
  });
}

/**
 * By identity. Throws `checkpoint-invalid` when it is anything else: what is there is never overwritten by guesswork.
 */
function readStored(text: string, identity: StreamIdentity, path: string): Readonly<Record<string, Fields>> {
  let stored: unknown;
  try {
    stored = JSON.parse(text);
  } catch {
    // Refused below.
  }
  if (isRecord(stored)) {
    const { others = {}, ...top } = stored;
    const kept = isRecord(others) ? Object.entries(others) : undefined;
    if ('index' in top && kept?.every((entry): entry is [string, Fields] => isRecord(entry[1])) === true)
      return { ...Object.fromEntries(kept), [keyOfTop(top, identity)]: top };
  }
  throw new HydrantError(
    `Expected the file ${path} to hold a checkpoint, got ${JSON.stringify(text.slice(0, 64))}; ${wayOut}`,
    { code: 'checkpoint-invalid', retryable: false },
  );
}

function parseCheckpoint(
  { index, filter, source, namespaces_at: namespacesAt, epoch, topics: topicIndexes }: Fields,
  place: string,
): Checkpoint {
  const stored = typeof index === 'number' ? String(index) : JSON.stringify(index ?? null);
  return {
    index: parseStoredIndex(stored, place, wayOut),
    ...parseNotes({ filter, source, namespacesAt, epoch, topicIndexes }),
  };
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (thrown) {
    if (errorCode(thrown) === 'ENOENT') return undefined;
    throw thrown;
  }
}

export function createFileCheckpointStore({ path, cluster, region, clock }: FileCheckpointOptions): CheckpointStore {
  const key = identityKey({ cluster, region });
  /** Those of other clusters and regions stay. */
  let others: Readonly<Record<string, Fields>> = {};
  return {
    description: `${path}, of cluster and region ${key}`,
    async load() {
      await mkdir(dirname(path), { recursive: true, mode: 0o700 });
      const text = await readIfThere(path);
      if (text === undefined) return undefined;
      const stored = readStored(text, { cluster, region }, path);
      others = Object.fromEntries(Object.entries(stored).filter(([name]) => name !== key));
      const own = Object.hasOwn(stored, key) ? stored[key] : undefined;
      return own === undefined ? undefined : parseCheckpoint(own, `the file ${path}, of cluster and region ${key}`);
    },
    async save({ index, filter, source, namespacesAt, epoch, topicIndexes }) {
      const own = {
        cluster,
        region,
        index,
        updated_at: new Date(clock.now()).toISOString(),
        filter,
        source,
        namespaces_at: namespacesAt,
        epoch,
        topics: topicIndexes,
      };
      await replaceFile(
        path,
        `${JSON.stringify({ ...own, ...(Object.keys(others).length === 0 ? {} : { others }) })}\n`,
      );
    },
  };
}
