/**
 * `hydrant-crashloop-detector explain <file|->`: reads lines from a file or stdin, writes what they come to on stdout.
 */
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { errorCode, HydrantError } from '@hydrant/shared/foundation/errors';
import { createLineWriter } from '@hydrant/shared/runtime/line-writer';
import { Explainer, type ExplainerOptions } from './explainer.ts';

export interface ExplainInput {
  readonly args: readonly string[];
  readonly stdin: Readable;
  readonly stdout: Writable;
  /** Ends the reading; the summary is of what was read until then. */
  readonly signal: AbortSignal;
}

/**
 * Throws `arguments-invalid`, or `file-unreadable`. Ends quietly when nobody reads its output any more, as under
 * `head`.
 */
export async function explain(options: ExplainerOptions, { args, stdin, stdout, signal }: ExplainInput): Promise<void> {
  const [file] = args;
  if (file === undefined || args.length > 1) {
    throw new HydrantError(`Expected \`explain <file>\`, or \`explain -\` for stdin, got ${args.length} arguments`, {
      code: 'arguments-invalid',
      retryable: false,
    });
  }
  const explainer = new Explainer(options);
  const out = createLineWriter(stdout);
  try {
    for await (const line of createInterface({
      input: file === '-' ? stdin : createReadStream(file),
      crlfDelay: Infinity,
    })) {
      if (out.isClosed || signal.aborted) break;
      if (line.startsWith('\ufffd\ufffd') || line.includes('\u0000'))
        throw new HydrantError('Expected text in UTF-8, got something else: convert it first', {
          code: 'file-unreadable',
          retryable: false,
        });
      await out.write(await explainer.take(Buffer.from(line)));
    }
    await out.write(await explainer.end());
  } catch (error) {
    if (errorCode(error) === 'file-unreadable') throw error;
    throw new HydrantError(
      `Expected "${file}" to be a file that can be read, could not: ${errorCode(error) ?? 'unknown'}`,
      { code: 'file-unreadable', retryable: false, cause: error },
    );
  }
  await out.write(explainer.summary());
}
