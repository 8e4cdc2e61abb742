/** Reads what real Nomads said, from fixtures/ at the root of the repository. */
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';

export type RecordingName = 'burst' | 'crashing-cluster' | 'nomad-firehose-parity';

/** One file of a recording, unpacked when its name ends in `.gz`. */
export async function readRecordingFile(name: RecordingName, file: string): Promise<Buffer> {
  const bytes = await readFile(new URL(`../../fixtures/${name}/${file}`, import.meta.url));
  return file.endsWith('.gz') ? promisify(gunzip)(bytes) : bytes;
}

/** The frames of a recorded stream, byte for byte, without their `\n`. */
export async function readRecording(name: RecordingName): Promise<Buffer[]> {
  return splitLines(await readRecordingFile(name, 'stream.ndjson.gz'));
}

/** A recorded list response, such as `allocations`, parsed. */
export async function readRecordedList(name: RecordingName, list: string): Promise<Record<string, unknown>[]> {
  const bytes = await readRecordingFile(name, `${list}.json.gz`);
  return JSON.parse(bytes.toString('utf8')) as Record<string, unknown>[];
}

function splitLines(bytes: Buffer): Buffer[] {
  const lines: Buffer[] = [];
  let start = 0;
  while (start < bytes.length) {
    const found = bytes.indexOf(10, start);
    const end = found === -1 ? bytes.length : found;
    if (end > start) lines.push(bytes.subarray(start, end));
    start = end + 1;
  }
  return lines;
}
