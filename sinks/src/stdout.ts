/**
 * Prints each message on standard output, one line each, and waits when nobody reads. What a slow reader has not taken
 * yet is printed once, however often the delivery asks for it.
 */
import type { Writable } from 'node:stream';
import type { WriteStream } from 'node:tty';
import { makeTerminalSafe } from '@hydrant/shared/foundation/visible-text';
import { retryable, type Batch, type Sink, type SinkDefinition } from '@hydrant/shared/delivery/sink';
import type { Schema } from '@hydrant/shared/runtime/config/setting';
import { encodeOrRefuse } from './encoding/encode-or-refuse.ts';
import { encodeLines } from './encoding/lines.ts';
import { unlessAborted } from './waiting/unless-aborted.ts';

const settings = {} as const satisfies Schema;

const unread = 'Expected standard output to be read, it is not';

interface Printing {
  readonly batch: Batch;
  readonly done: Promise<void>;
}

/** On another stream than the process's own for tests. */
export function createStdoutSink(stdout: Writable & Pick<Partial<WriteStream>, 'isTTY'>): Sink {
  let printing: Printing | undefined;
  // Each failed write says it too; without a listener it would end the process.
  const onError = (): void => undefined;

  function print(batch: Batch): Printing {
    const lines = encodeOrRefuse(() => encodeLines(batch));
    const done = new Promise<void>((resolve, reject) => {
      // A program gets the bytes as they are; a terminal would obey some of them.
      stdout.write(stdout.isTTY === true ? makeTerminalSafe(lines.toString()) : lines, (error) => {
        if (error === null || error === undefined) resolve();
        else reject(retryable('Expected somebody to read standard output, nobody does', undefined, error));
      });
    });
    return { batch, done };
  }

  return {
    connect() {
      stdout.off('error', onError).on('error', onError);
      return Promise.resolve();
    },
    async write(batch, signal) {
      if (printing !== undefined && !isSame(printing.batch, batch)) {
        // How it ended is of no more interest: its own delivery has given up waiting.
        await unlessAborted(
          printing.done.catch(() => undefined),
          signal,
          unread,
        );
        printing = undefined;
      }
      printing ??= print(batch);
      try {
        await unlessAborted(printing.done, signal, unread);
      } catch (error) {
        if (!signal.aborted) printing = undefined;
        throw error;
      }
      printing = undefined;
    },
    healthcheck: () => Promise.resolve(),
    close: () => Promise.resolve(),
  };
}

function isSame(one: Batch, other: Batch): boolean {
  return one.length === other.length && one.every((message, at) => message === other[at]);
}

export const stdoutSink: SinkDefinition<typeof settings> = {
  type: 'stdout',
  settings,
  defaults: { batchEvents: 100, batchBytes: 1024 * 1024, batchAgeMs: 100 },
  maxConcurrency: 1,
  create: () => createStdoutSink(process.stdout),
};
