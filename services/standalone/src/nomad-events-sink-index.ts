/**
 * nomad-events-sink's index.json as the first checkpoint, so that nothing is missed in the change to Hydrant. Its file
 * is read, never written.
 */
import { readFile } from 'node:fs/promises';
import { parseStoredIndex, type Checkpoint, type CheckpointStore } from '@hydrant/firehose/checkpoint/checkpoint-store';
import { describeFilter } from '@hydrant/firehose/source/open-stream';
import { errorCode, HydrantError } from '@hydrant/shared/foundation/errors';
import type { FormerQuery } from './nomad-events-sink-config.ts';

export interface FormerIndex {
  readonly path: string;
  readonly query: FormerQuery;
}

const wayOut = 'put the right index there or move the file away to begin as FIREHOSE_START says';

/** The checkpoint of `store`; without one, what the index of nomad-events-sink says, if it is that of the region. */
export function withFormerIndex(store: CheckpointStore, { path, query }: FormerIndex, region: string): CheckpointStore {
  return {
    description: store.description,
    load: async (signal) =>
      (await store.load(signal)) ??
      (query.region === region ? readFormerIndex(await readIfThere(path), path, query) : undefined),
    save: (checkpoint) => store.save(checkpoint),
  };
}

/**
 * The least index of the topics, for one stream reads them all; those that had not been seen yet are left out of the
 * filter, so that the lists are asked for them. Undefined when it has none. Throws a permanent `checkpoint-invalid`.
 */
export function readFormerIndex(
  json: string | undefined,
  path: string,
  { topics, namespace, region }: FormerQuery,
): Checkpoint | undefined {
  if (json === undefined) return undefined;
  const isWanted = (topic: string): boolean => topics.includes(topic) || topics.includes('*');
  const indexes = Object.entries(parse(json, path)).filter(([topic, index]) => isWanted(topic) && index !== 0);
  const found = indexes.map(([topic, index]) =>
    parseStoredIndex(
      typeof index === 'number' ? String(index) : JSON.stringify(index),
      `${path} under ${topic}`,
      wayOut,
    ),
  );
  if (found.length === 0) return undefined;
  const seen = topics.includes('*') ? topics : topics.filter((topic) => indexes.some(([name]) => name === topic));
  return {
    index: found.reduce((least, index) => Math.min(least, index)),
    filter: describeFilter({ topics: seen, namespace, region }),
    source: '',
  };
}

function parse(json: string, path: string): object {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    // Refused below: nomad-events-sink left such a file when it was killed while it wrote.
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value;
  throw new HydrantError(
    `Expected ${path} to hold nomad-events-sink's index for each topic, got ${JSON.stringify(json.slice(0, 64))}; ${wayOut}`,
    { code: 'checkpoint-invalid', retryable: false },
  );
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}
