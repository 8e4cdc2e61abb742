/** What the tests of the whole firehose share. */
import { createHash } from 'node:crypto';
import { systemClock } from '@hydrant/shared/foundation/clock';
import type { Bus } from '@hydrant/shared/bus/bus';
import type { Message } from '@hydrant/shared/messages/message';
import { loadConfig } from '@hydrant/shared/runtime/config/load-config';
import { createMetrics, type Metrics } from '@hydrant/shared/runtime/telemetry/metrics';
import { createMemorySpool } from '@hydrant/shared/spool/memory-spool';
import { readRecordingFile } from '@hydrant/testing/recordings';
import { recordingLog, type RecordingLog } from '@hydrant/testing/test-log';
import type { Test } from 'tap';
import type { Checkpoint, CheckpointStore } from './checkpoint/checkpoint-store.ts';
import { checkNomadSettings, nomadSettings, readFirehoseOptions, spoolSettings, streamSettings } from './config.ts';
import { createFirehose, type Firehose } from './firehose.ts';

export const forever = new AbortController().signal;

export const schema = { ...nomadSettings, ...streamSettings, ...spoolSettings };

export function createFakeStore(initial?: Checkpoint): CheckpointStore & { stored: Checkpoint | undefined } {
  return {
    description: 'a fake',
    stored: initial,
    load() {
      return Promise.resolve(this.stored);
    },
    save(checkpoint) {
      this.stored = checkpoint;
      return Promise.resolve();
    },
  };
}

export interface Run {
  readonly firehose: Firehose;
  readonly metrics: Metrics;
  readonly logged: RecordingLog['lines'];
}

export async function run(
  t: Test,
  env: Record<string, string>,
  bus: Pick<Bus, 'publish'> & Partial<Bus>,
  checkpointStore: CheckpointStore,
): Promise<Run> {
  const config = loadConfig(schema, { env, check: checkNomadSettings });
  const metrics = createMetrics({ service: 'firehose', version: '0' });
  const { log, lines: logged } = recordingLog();
  const spool = createMemorySpool({ maxBytes: config.FIREHOSE_SPOOL_MAX_BYTES });
  const firehose = createFirehose(readFirehoseOptions(config), {
    bus: { hasQueue: () => Promise.resolve(true), ...bus },
    spool,
    checkpointStore,
    log,
    metrics,
    clock: systemClock,
  });
  await firehose.start(forever);
  t.teardown(() => firehose.stop(AbortSignal.abort()));
  return { firehose, metrics, logged };
}

export async function recordedHashes(): Promise<string[]> {
  const text = (await readRecordingFile('crashing-cluster', 'event-hashes.ndjson.gz')).toString();
  return text
    .trim()
    .split('\n')
    .map((line) => (JSON.parse(line) as { sha256: string }).sha256);
}

export function hash({ body }: Message): string {
  return createHash('sha256').update(body).digest('hex');
}
