/**
 * Messages as nomad-firehose publishes them, from a recorded one: each tells of one restart, and no two of the same.
 */
import { readFile } from 'node:fs/promises';
import { gunzipSync } from 'node:zlib';
import { connect } from 'amqplib';

/** Restarts of one task are this far apart, so that some hundred of them lie within `RESTART_INTERVAL`. */
const apartMs = 3000;
const recording = new URL('../../fixtures/nomad-firehose-parity/allocations.out.ndjson.gz', import.meta.url);

/** The restart number `position`: of `allocations` tasks in turn, the last one now. */
export async function makeRestartMessages(total: number, allocations: number): Promise<(position: number) => Buffer> {
  const lines = gunzipSync(await readFile(recording))
    .toString('utf8')
    .split('\n');
  const recorded = lines.find((line) => line.includes('"Type":"Restarting"') && !line.includes('"RestartReason":""'));
  const parts = /^\{"Name":"[^"]*"(.*"AllocationID":")[^"]*(".*"Type":"Restarting","Time":)\d+(.*)$/u.exec(
    recorded ?? '',
  );
  if (parts === null) throw new Error(`Expected a restart with a reason in ${recording.pathname}`);
  const [, head = '', middle = '', tail = ''] = parts;
  const rounds = Math.ceil(total / allocations);
  const firstMs = Date.now() - rounds * apartMs;
  return (position) => {
    const allocation = position % allocations;
    const atMs = firstMs + Math.floor(position / allocations) * apartMs;
    const id = `${allocation.toString(16).padStart(8, '0')}-ee68-fc9e-a061-f3e6f2fea3b2`;
    return Buffer.from(
      `{"Name":"bench-${String(allocation)}.workers[0]"${head}${id}${middle}${String(atMs)}${String(allocation).padStart(6, '0')}${tail}`,
    );
  };
}

/**
 * Publishes `total` of them to the exchange that the queue of the detector is bound to; resolves when all are
 * confirmed.
 */
export async function publishRestarts(url: string, total: number, allocations: number): Promise<void> {
  const message = await makeRestartMessages(total, allocations);
  const connection = await connect(url);
  const channel = await connection.createConfirmChannel();
  const together = 1000;
  for (let first = 0; first < total; first += together) {
    for (let position = first; position < Math.min(total, first + together); position += 1) {
      channel.publish('nomad', 'allocations', message(position), { persistent: true, contentType: 'application/json' });
    }
    await channel.waitForConfirms();
  }
  await connection.close();
}
