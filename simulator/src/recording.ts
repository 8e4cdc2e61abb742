/**
 * Reads a folder of fixtures/: the frames of the stream, when each arrived, and the list endpoints' answers. Bytes stay
 * as they were recorded.
 */
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { isAbsolute, join, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { HydrantError } from '@hydrant/shared/foundation/errors';
import { readFrame, type Frame } from './frame.ts';
import { newestTimeNs } from './rewrite.ts';

export interface RecordedFrame extends Frame {
  /** From the beginning of the recording. */
  readonly arrivalMs: number;
}

export interface Recording {
  readonly name: string;
  readonly frames: readonly RecordedFrame[];
  readonly durationMs: number;
  /** Newest time in the stream, nanoseconds since 1970. */
  readonly endNs: bigint;
  readonly newestIndex: number;
  readonly nodeIds: ReadonlySet<string>;
  /** Bodies of list endpoints by their last path segment. */
  readonly lists: ReadonlyMap<string, Buffer>;
  /** Their X-Nomad-Index, where it was recorded. */
  readonly listIndexes: ReadonlyMap<string, number>;
}

const FIXTURES = fileURLToPath(new URL('../../fixtures/', import.meta.url));
const STREAM_FILE = 'stream.ndjson.gz';
const NEWLINE = 0x0a;

/** `recording` is the name of a folder in fixtures/ or a path. */
export async function loadRecording(recording: string): Promise<Recording> {
  const folder = isAbsolute(recording) || recording.includes(sep) ? recording : join(FIXTURES, recording);
  if (!existsSync(join(folder, STREAM_FILE))) throw await missing(recording);
  const lines = splitLines(gunzipSync(await readFile(join(folder, STREAM_FILE))));
  const arrivals = await readArrivals(folder);
  const frames = readFrames(lines, arrivals);
  return {
    name: recording,
    frames,
    durationMs: frames.at(-1)?.arrivalMs ?? 0,
    endNs: lines.map(newestTimeNs).reduce(later, 0n),
    newestIndex: Math.max(0, ...frames.map((frame) => frame.index)),
    nodeIds: new Set(
      frames.flatMap((frame) => frame.events.filter((event) => event.topic === 'Node').map((event) => event.key)),
    ),
    lists: await readLists(folder),
    listIndexes: await readListIndexes(folder),
  };
}

async function missing(recording: string): Promise<HydrantError> {
  const names = (await readdir(FIXTURES, { withFileTypes: true }))
    .filter((entry) => existsSync(join(FIXTURES, entry.name, STREAM_FILE)))
    .map((entry) => entry.name);
  return new HydrantError(
    `Expected a recording with ${STREAM_FILE}, got \`${recording}\`; use one of ${names.sort().join(', ')} or the path of a folder`,
    { code: 'recording-missing', retryable: false },
  );
}

function splitLines(bytes: Buffer): readonly Buffer[] {
  const lines: Buffer[] = [];
  let start = 0;
  for (let end = bytes.indexOf(NEWLINE); end !== -1; end = bytes.indexOf(NEWLINE, start)) {
    lines.push(bytes.subarray(start, end));
    start = end + 1;
  }
  return lines;
}

function later(left: bigint, right: bigint): bigint {
  return left > right ? left : right;
}

async function readArrivals(folder: string): Promise<readonly number[] | undefined> {
  const file = join(folder, 'arrival-seconds.txt.gz');
  if (!existsSync(file)) return undefined;
  const text = gunzipSync(await readFile(file))
    .toString('latin1')
    .trim();
  return text.split('\n').map((line) => Number(line) * 1000);
}

/** Without recorded arrival times a frame arrives when the newest thing it tells of happened. */
function readFrames(lines: readonly Buffer[], arrivals: readonly number[] | undefined): readonly RecordedFrame[] {
  const frames: RecordedFrame[] = [];
  let firstNs = 0n;
  let arrivalMs = 0;
  for (const [position, line] of lines.entries()) {
    const frame = readFrame(line);
    if (frame === undefined) continue;
    const newest = arrivals === undefined ? newestTimeNs(line) : 0n;
    if (firstNs === 0n) firstNs = newest;
    arrivalMs = Math.max(arrivalMs, arrivals?.[position] ?? Number((newest - firstNs) / 1_000_000n));
    frames.push({ ...frame, arrivalMs });
  }
  return frames;
}

async function readLists(folder: string): Promise<ReadonlyMap<string, Buffer>> {
  const lists = new Map<string, Buffer>();
  for (const file of await readdir(folder)) {
    if (file.endsWith('.json.gz'))
      lists.set(file.slice(0, -'.json.gz'.length), gunzipSync(await readFile(join(folder, file))));
  }
  return lists;
}

async function readListIndexes(folder: string): Promise<ReadonlyMap<string, number>> {
  const file = join(folder, 'x-nomad-index.json');
  if (!existsSync(file)) return new Map();
  const indexes = JSON.parse(await readFile(file, 'utf8')) as Record<string, string>;
  return new Map(Object.entries(indexes).map(([name, index]) => [name.replace(/\.json$/, ''), Number(index)]));
}
