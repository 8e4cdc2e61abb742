/** A real S3 server from npm in a folder of its own, and what lies in its bucket. */
import { createRequire } from 'node:module';
import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { splitLines } from './event-hashes.ts';

interface S3rver {
  run(): Promise<{ port: number }>;
  close(): Promise<void>;
}

type S3rverClass = new (options: Readonly<Record<string, unknown>>) => S3rver;

export interface S3Server {
  readonly url: string;
  readonly bucket: string;
  /** The credentials it accepts, as environment variables. */
  readonly credentials: Readonly<Record<string, string>>;
  /** The lines of every object, unpacked. */
  lines(): Promise<readonly Buffer[]>;
  close(): Promise<void>;
}

export async function startS3Server(): Promise<S3Server> {
  const directory = await mkdtemp(join(tmpdir(), 'hydrant-s3-'));
  const bucket = 'nomad-events';
  const Server = createRequire(import.meta.url)('@20minutes/s3rver') as S3rverClass;
  const server = new Server({
    port: 0,
    address: '127.0.0.1',
    silent: true,
    directory,
    configureBuckets: [{ name: bucket }],
  });
  const { port } = await server.run();
  return {
    url: `http://127.0.0.1:${String(port)}`,
    bucket,
    credentials: { AWS_ACCESS_KEY_ID: 'S3RVER', AWS_SECRET_ACCESS_KEY: 'S3RVER' },
    async lines() {
      const files = await readdir(directory, { recursive: true });
      const objects = files.filter((file) => file.endsWith('._S3rver_object'));
      const bodies = await Promise.all(objects.map((file) => readFile(join(directory, file))));
      return bodies.flatMap((body) => splitLines(gunzipSync(body)));
    },
    async close() {
      await server.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}
