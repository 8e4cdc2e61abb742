/**
 * Two firehoses of one cluster, and what can be seen of them from outside: who leads, what each has published, the
 * stored checkpoint.
 */
import { eventually } from '@hydrant/testing/eventually';
import { readCheck, type ServiceProcess } from './service-process.ts';
import { setStage, type Stage } from './stage.ts';
import { openCheckpoint, type ReadCheckpoint } from './stored-checkpoint.ts';

export interface TwoFirehoses extends Stage {
  /** Leads at first. */
  readonly first: ServiceProcess;
  /** Stands by at first. */
  readonly second: ServiceProcess;
  readonly readCheckpoint: ReadCheckpoint;
}

async function get(process: ServiceProcess, path: string): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${String(process.port)}${path}`, {
    signal: AbortSignal.timeout(5_000),
  });
  return response.text();
}

/** What `/readyz?verbose` says of the lease, such as `leader: …`. */
export async function describeLease(process: ServiceProcess): Promise<string> {
  return (await readCheck(process, 'lease')).detail;
}

export async function readMetric(process: ServiceProcess, name: string): Promise<number> {
  const text = await get(process, '/metrics');
  return Number(new RegExp(`^${name} (\\S+)$`, 'mu').exec(text)?.[1]);
}

export async function untilLeading(process: ServiceProcess): Promise<void> {
  await eventually(
    async () =>
      (await describeLease(process)).startsWith('leader:') &&
      (await readMetric(process, 'hydrant_firehose_leader')) === 1,
    {
      timeoutMs: 30_000,
      message: 'the other firehose leads',
    },
  );
}

/**
 * Resolves when all that the firehose has read is confirmed and nothing has come for a second, with the number of
 * events published.
 */
export async function untilIdle(process: ServiceProcess): Promise<number> {
  let seen = '';
  let sinceMs = 0;
  return eventually(
    async () => {
      const [spooled, published, received] = await Promise.all(
        ['spool_events', 'events_published_total', 'events_received_total'].map((name) =>
          readMetric(process, `hydrant_firehose_${name}`),
        ),
      );
      const now = `${String(spooled)} ${String(published)} ${String(received)}`;
      if (now !== seen) sinceMs = Date.now();
      seen = now;
      return spooled === 0 && Date.now() - sinceMs > 1_000 ? published : undefined;
    },
    { timeoutMs: 30_000, message: 'the firehose is idle' },
  );
}

/** Resolves to the stored checkpoint when it is at the last event that the firehose has published. */
export async function untilSaved(
  process: ServiceProcess,
  readCheckpoint: ReadCheckpoint,
): Promise<Readonly<Record<string, string>>> {
  return eventually(
    async () => {
      const checkpoint = await readCheckpoint();
      return Number(checkpoint['index']) === (await readMetric(process, 'hydrant_firehose_confirmed_index'))
        ? checkpoint
        : undefined;
    },
    { timeoutMs: 30_000, message: 'the checkpoint comes to the last event' },
  );
}

/** Wall clock, milliseconds, of the newest line of that text in the log. */
export function lastSaid(process: ServiceProcess, text: string): number | undefined {
  const line = process
    .log()
    .split('\n')
    .findLast((candidate) => candidate.includes(text));
  const time = line === undefined ? undefined : (JSON.parse(line) as { time?: string | number }).time;
  return time === undefined ? undefined : new Date(time).getTime();
}

/**
 * Plays the recording with one firehose that leads and one that stands by; `folders`: their spool folders, else they
 * keep what they read in memory.
 */
export async function playWithTwoFirehoses(
  t: Parameters<typeof setStage>[0],
  folders?: readonly [string, string],
): Promise<TwoFirehoses> {
  const [firstFolder, secondFolder] = (folders ?? []).map((FIREHOSE_SPOOL_DIR) => ({ FIREHOSE_SPOOL_DIR }));
  const stage = await setStage(t, 'three services', {
    speed: 5,
    firehose: { FIREHOSE_HA: 'true', ...firstFolder },
    secondFirehose: { ...secondFolder },
  });
  const { source: first, secondSource: second, redisUrl } = stage.shape;
  if (second === undefined || redisUrl === undefined)
    throw new Error('Expected three services to have a second firehose and a Redis');
  const readCheckpoint = await openCheckpoint(t, redisUrl);
  await stage.play();
  await second.start();
  return { ...stage, first, second, readCheckpoint };
}
