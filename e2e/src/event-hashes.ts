/** The hashes of the recording's events under the default topics, as fixtures/make-event-hashes.py made them. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { gunzipSync } from 'node:zlib';

const hashesUrl = new URL('../../fixtures/crashing-cluster/event-hashes.ndjson.gz', import.meta.url);

export async function readEventHashes(): Promise<readonly string[]> {
  const lines = gunzipSync(await readFile(hashesUrl))
    .toString('utf8')
    .trimEnd()
    .split('\n');
  return lines.map((line) => {
    const entry: unknown = JSON.parse(line);
    if (typeof entry !== 'object' || entry === null || !('sha256' in entry) || typeof entry.sha256 !== 'string')
      throw new Error(`Expected a line with "sha256", got ${line}`);
    return entry.sha256;
  });
}

export function hashOf(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** The non-empty lines of an NDJSON body, without their ends. */
export function splitLines(body: Buffer): readonly Buffer[] {
  const lines: Buffer[] = [];
  let start = 0;
  while (start < body.length) {
    const found = body.indexOf(10, start);
    const end = found === -1 ? body.length : found;
    if (end > start) lines.push(body.subarray(start, end));
    start = end + 1;
  }
  return lines;
}
