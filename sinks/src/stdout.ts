/** Prints each message on standard output, one line each, and waits when nobody reads. */
import { once } from 'node:events';
import type { Batch, Sink, SinkDefinition } from '@hydrant/shared/delivery/sink';
import type { Schema } from '@hydrant/shared/runtime/config/setting';

const lineEnd = Buffer.from('\n');
const settings = {} as const satisfies Schema;

export const stdoutSink: SinkDefinition<typeof settings> = {
  type: 'stdout',
  settings,
  defaults: { batchEvents: 100, batchBytes: 1024 * 1024, batchAgeMs: 100 },
  maxConcurrency: 1,
  create: (): Sink => ({
    connect: () => Promise.resolve(),
    async write(batch: Batch, signal: AbortSignal) {
      const lines = Buffer.concat(batch.flatMap((message) => [message.body, lineEnd]));
      if (!process.stdout.write(lines)) await once(process.stdout, 'drain', { signal });
    },
    healthcheck: () => Promise.resolve(),
    close: () => Promise.resolve(),
  }),
};
