/** `remove-queue`: for a sink that is gone, whose queue would go on filling. */
import { parseArgs } from 'node:util';
import type { QueueAdmin, QueueState } from '@hydrant/shared/bus/queue-admin';
import { HydrantError, toError } from '@hydrant/shared/foundation/errors';
import type { LineWriter } from '@hydrant/shared/runtime/line-writer';

export interface RemovalRequest {
  /** Null: as the settings have it. */
  readonly queue: string | null;
  readonly isForced: boolean;
}

const usage = 'Usage: remove-queue [--queue NAME] [--force]';
export const removeQueueHelp = [
  '  --queue NAME  the queue; where it is not set, that of the sink that the settings name',
  '  --force       also one that is in use or not empty',
].join('\n');

/** Throws `arguments-invalid`. */
export function readRemovalRequest(args: readonly string[]): RemovalRequest {
  try {
    const { values } = parseArgs({
      options: { queue: { type: 'string' }, force: { type: 'boolean' } },
      args: [...args],
    });
    return { queue: values.queue ?? null, isForced: values.force === true };
  } catch (error) {
    throw new HydrantError(`${toError(error).message}\n\n${usage}`, { code: 'arguments-invalid', retryable: false });
  }
}

export interface RemovalPorts {
  readonly admin: QueueAdmin;
  readonly out: LineWriter;
  readonly signal: AbortSignal;
}

/**
 * `queues`: the work queue first: while it exists, messages may still come to the other. Throws `queue-in-use`,
 * `queue-missing`.
 */
export async function removeQueues(
  queues: readonly string[],
  isForced: boolean,
  { admin, out, signal }: RemovalPorts,
): Promise<void> {
  const found: QueueState[] = [];
  for (const name of queues) {
    const state = await admin.inspect(name, signal);
    if (state !== undefined) found.push(state);
  }
  if (found.length === 0)
    throw new HydrantError(`Expected RabbitMQ to have the queue "${queues[0] ?? ''}", it has none of that name`, {
      code: 'queue-missing',
      retryable: false,
    });
  await out.write(found.map(describeQueue));
  const used = found.filter(({ messages, consumers }) => messages > 0 || consumers > 0);
  if (used.length > 0 && !isForced) {
    const reasons = used.map(
      ({ name, messages, consumers }) =>
        `"${name}" ${consumers > 0 ? 'has consumers' : `holds ${count(messages, 'message')}`}`,
    );
    throw new HydrantError(
      `Expected queues that nobody needs, but ${reasons.join(' and ')}; \`--force\` removes them with all that is in them`,
      { code: 'queue-in-use', retryable: false },
    );
  }
  for (const { name } of found) {
    await admin.remove(name, signal);
    await out.write([`${name} is removed`]);
  }
}

function describeQueue({ name, messages, consumers, oldest }: QueueState): string {
  const first =
    oldest === undefined
      ? ''
      : `; the oldest is ${oldest.id || 'without id'}, published at ${new Date(oldest.publishedAtMs).toISOString()}`;
  return `${name}: ${count(messages, 'message')}, ${count(consumers, 'consumer')}${first}`;
}

function count(number: number, noun: string): string {
  return `${String(number)} ${noun}${number === 1 ? '' : 's'}`;
}
