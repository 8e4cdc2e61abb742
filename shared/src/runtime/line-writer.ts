/**
 * Writes the lines of a command to its output, no faster than they are taken, and without what a terminal would obey.
 * Ends quietly when nobody reads any more, as under `head`.
 */
import { once } from 'node:events';
import type { Writable } from 'node:stream';
import { makeTerminalSafe } from '../foundation/visible-text.ts';

export interface LineWriter {
  /** True once nobody reads any more: what is written then goes nowhere. */
  readonly isClosed: boolean;
  /** Resolves when there is room for more. Never rejects. */
  write(lines: readonly string[]): Promise<void>;
  /** The same for lines with colours, in which what others wrote is visible text already. */
  writePainted(lines: readonly string[]): Promise<void>;
}

export function createLineWriter(output: Writable): LineWriter {
  let isClosed = false;
  output.on('error', () => {
    isClosed = true;
  });
  async function writePainted(lines: readonly string[]): Promise<void> {
    if (isClosed || lines.length === 0) return;
    if (!output.write(`${lines.join('\n')}\n`))
      await Promise.race([once(output, 'drain'), once(output, 'close')]).catch(() => undefined);
  }
  return {
    get isClosed() {
      return isClosed;
    },
    write: (lines) => writePainted(lines.map(makeTerminalSafe)),
    writePainted,
  };
}
