/** NDJSON: one message a line, bodies as they came. */
import type { Batch } from '@hydrant/shared/delivery/sink';

const lineFeed = 0x0a;
const carriageReturn = 0x0d;
const space = 0x20;
const lineEnd = Buffer.from('\n');

export function encodeLines(batch: Batch): Buffer {
  return Buffer.concat(lineParts(batch));
}

/** The same in parts, not yet put together. */
export function lineParts(batch: Batch): Buffer[] {
  const parts: Buffer[] = [];
  for (const message of batch) parts.push(toLine(message.body), lineEnd);
  return parts;
}

/**
 * In JSON a line break can only stand between tokens, where a space means the same. Nomad's events have none; those of
 * others may.
 */
function toLine(body: Buffer): Buffer {
  if (!body.includes(lineFeed)) return body;
  const line = Buffer.from(body);
  for (const [at, byte] of line.entries()) if (byte === lineFeed || byte === carriageReturn) line[at] = space;
  return line;
}
