/** What standalone does once: looks after its dead letters, sends an example to its sinks. */
import { createFileDeadLetters } from '@hydrant/shared/bus/in-process/file-dead-letters';
import { listDeadLetterSubscriptions } from '@hydrant/shared/bus/in-process/dead-letter-paths';
import { chooseExample, readSendTestRequest, sendTest } from '@hydrant/shared/delivery/send-test';
import { describeError, HydrantError } from '@hydrant/shared/foundation/errors';
import { createLineWriter } from '@hydrant/shared/runtime/line-writer';
import type { CommandContext } from '@hydrant/shared/runtime/run-service';
import { readRemovalRequest } from '@hydrant/sink-worker/remove-queue';
import { runDeadLetters, withDeadLetterRequest } from '@hydrant/sink-worker/dead-letters/dead-letters-command';
import { readParts, type ConfiguredSink, type StandaloneConfig } from './config.ts';
import { removeLogQueue } from './remove-queue.ts';
import { deadLetterFolder, logFolder, readQueues } from './standalone.ts';

/** Beside a running process, which takes in what is replayed within a second or two, or without one. */
export function deadLetters(config: StandaloneConfig, context: CommandContext): Promise<void> {
  return withDeadLetterRequest(context, async (request, output) => {
    const deadLetterDir = deadLetterFolder(config);
    const all = await listDeadLetterSubscriptions(deadLetterDir);
    const chosen = all.filter((name) => request.queue === null || name === request.queue);
    if (chosen.length === 0 && request.queue !== null) {
      throw new HydrantError(
        `Expected dead letters of "${request.queue}" in ${deadLetterDir}, there are ${all.length === 0 ? 'none at all' : `only those of ${all.join(', ')}`}`,
        { code: 'queue-missing', retryable: false },
      );
    }
    if (chosen.length === 0 && !request.isJson) await output.out.write([`No dead letters in ${deadLetterDir}`]);
    await runDeadLetters(
      request,
      chosen.map((queue) => ({
        queue,
        store: createFileDeadLetters({ deadLetterDir, subscription: queue, clock: context.clock }),
      })),
      output,
    );
  });
}

/** Beside a running process, which removes it within a second or two, or without one. */
export async function removeQueue(config: StandaloneConfig, context: CommandContext): Promise<void> {
  const places = {
    logDir: logFolder(config),
    deadLetterDir: deadLetterFolder(config),
    readers: readQueues(readParts(context.env, config).sinks),
  };
  await removeLogQueue(readRemovalRequest(context.args), places, {
    out: createLineWriter(process.stdout),
    clock: context.clock,
    signal: context.signal,
  });
}

/**
 * To each sink that is named, or to all. Throws `send-test-failed` when one of them did not take it, after all were
 * tried.
 */
export async function sendTests(config: StandaloneConfig, context: CommandContext): Promise<void> {
  const { isResolved, sinks: names } = readSendTestRequest(context.args);
  const { sinks } = readParts(context.env, config);
  const unknown = names.find((name) => !sinks.some(({ worker }) => worker.delivery.name === name));
  if (unknown !== undefined) {
    throw new HydrantError(
      `Expected the name of a sink (${sinks.map(({ worker }) => worker.delivery.name).join(', ')}), got "${unknown}"`,
      { code: 'arguments-invalid', retryable: false },
    );
  }
  const out = createLineWriter(process.stdout);
  const failures: string[] = [];
  for (const sink of sinks.filter(({ worker }) => names.length === 0 || names.includes(worker.delivery.name))) {
    await sendOne(sink, isResolved, context).then(
      (sentence) => out.write([sentence]),
      (error: unknown) => {
        failures.push(describeError(error));
      },
    );
  }
  if (failures.length > 0) throw new HydrantError(failures.join('\n'), { code: 'send-test-failed', retryable: true });
}

function sendOne(
  { definition, worker, values }: ConfiguredSink,
  isResolved: boolean,
  context: CommandContext,
): Promise<string> {
  const sink = definition.create(values, { log: context.log, name: worker.delivery.name });
  return sendTest(sink, chooseExample(worker.bindings, isResolved, context.clock.now()), {
    ...worker.delivery,
    clock: context.clock,
    signal: context.signal,
  });
}
