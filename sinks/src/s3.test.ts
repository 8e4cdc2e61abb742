import { sinkContract, makeSinkMessage } from '@hydrant/shared/delivery/sink-contract';
import type { Sink } from '@hydrant/shared/delivery/sink';
import { loadConfig } from '@hydrant/shared/runtime/config/load-config';
import { startFaultProxy } from '@hydrant/testing/fault-proxy';
import { startHttpReceiver } from '@hydrant/testing/http-receiver';
import { testFolder } from '@hydrant/testing/test-folder';
import { testLog } from '@hydrant/testing/test-log';
import { readdir, readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import t, { type Test } from 'tap';
import { makeKey, s3Sink } from './s3.ts';

interface S3rver {
  run(): Promise<{ port: number }>;
  close(): Promise<void>;
}

const never = new AbortController().signal;
const bucket = 'nomad-events';
process.env['AWS_ACCESS_KEY_ID'] = 'S3RVER';
process.env['AWS_SECRET_ACCESS_KEY'] = 'S3RVER';

function load(env: Record<string, string>) {
  return loadConfig(s3Sink.settings, {
    env: { SINK_S3_BUCKET: bucket, ...env },
    check: (values) => s3Sink.check?.(values as Parameters<NonNullable<typeof s3Sink.check>>[0]) ?? [],
  });
}

function createSink(port: number, env: Record<string, string> = {}): Sink {
  const address = {
    SINK_S3_ENDPOINT: `http://127.0.0.1:${String(port)}`,
    SINK_S3_REGION: 'us-east-1',
    SINK_S3_FORCE_PATH_STYLE: 'true',
  };
  return s3Sink.create(load({ ...address, ...env }), { log: testLog(), name: 's3' });
}

/** A server that checks signatures, and the objects of its bucket by key. */
async function startS3(t: Test) {
  const directory = testFolder(t);
  const Server = createRequire(import.meta.url)('@20minutes/s3rver') as new (
    options: Readonly<Record<string, unknown>>,
  ) => S3rver;
  const server = new Server({
    port: 0,
    address: '127.0.0.1',
    silent: true,
    directory,
    configureBuckets: [{ name: bucket }],
  });
  const { port } = await server.run();
  t.teardown(() => server.close());
  const suffix = '._S3rver_object';
  return {
    port,
    async objects(): Promise<ReadonlyMap<string, string>> {
      const files = (await readdir(join(directory, bucket), { recursive: true }))
        .filter((file) => file.endsWith(suffix))
        .sort();
      return new Map(
        await Promise.all(
          files.map(
            async (file) =>
              [
                file.slice(0, -suffix.length),
                gunzipSync(await readFile(join(directory, bucket, file))).toString(),
              ] as const,
          ),
        ),
      );
    },
  };
}

sinkContract(t, {
  name: 's3',
  without: {
    refuse: 'the server takes objects of every size; the table of answers below has the refusals',
    refuseOne: 'one object holds the whole batch',
  },
  async create(t) {
    const server = await startS3(t);
    const proxy = await startFaultProxy(t, { targetPort: server.port });
    return {
      sink: createSink(proxy.port),
      arrived: async () => [...(await server.objects()).values()].flatMap((content) => content.trimEnd().split('\n')),
      breakDown: () => {
        proxy.cut();
      },
      mend: () => {
        proxy.restore();
      },
      stall: () => {
        proxy.blackHole();
      },
    };
  },
});

void t.test('an object is named after its first message and its content, and a retry overwrites it', async (t) => {
  const server = await startS3(t);
  const sink = createSink(server.port, { SINK_S3_PREFIX: 'cluster a/' });
  await sink.connect(never);
  t.teardown(() => sink.close());

  await sink.write([makeSinkMessage(1), makeSinkMessage(2)], never);
  await sink.write([makeSinkMessage(1), makeSinkMessage(2)], never);
  await sink.write([makeSinkMessage(1)], never);

  const keys = [...(await server.objects()).keys()];
  t.equal(keys.length, 2);
  for (const key of keys)
    t.match(key, /^cluster a\/2026\/05\/06\/07\/default_1_Allocation_default_0b3b2f4e_0-[0-9a-f]{16}\.ndjson\.gz$/u);
});

void t.test('a key follows its template', (t) => {
  const content = Buffer.from('x');
  const hash = '2d711642b726b044';
  const cases: readonly (readonly [Partial<Parameters<typeof makeSinkMessage>[1]>, string, string])[] = [
    [{ id: 'a/b' }, '{yyyy}-{mm}-{dd}T{hh}/{name}', `p/2026-05-06T07/a_b-${hash}`],
    [{ id: '' }, '{name}.gz', `p/-${hash}.gz`],
    [{ id: 'x'.repeat(300) }, '{name}', `p/${'x'.repeat(150)}-${hash}`],
    [{ id: 'a', timestampMs: 1e300 }, '{yyyy}/{name}', `p/1970/a-${hash}`],
    [{ id: 'a', timestampMs: 0 }, '{yyyy}/{name}', `p/1970/a-${hash}`],
  ];
  for (const [changes, template, key] of cases)
    t.equal(
      makeKey([makeSinkMessage(1, changes)], content, { SINK_S3_PREFIX: 'p/', SINK_S3_KEY_TEMPLATE: template }),
      key,
    );
  t.throws(() => load({ SINK_S3_KEY_TEMPLATE: '{yyyy}.gz' }), { message: /hold \{name\}/u });
  t.throws(() => load({ SINK_S3_KEY_TEMPLATE: '{year}/{name}' }), { message: /got \{year\}/u });
  t.end();
});

void t.test('what is wrong with the bucket or the key waits and says what to do', async (t) => {
  const server = await startS3(t);
  const missing = createSink(server.port, { SINK_S3_BUCKET: 'missing' });
  await missing.connect(never);
  await t.rejects(missing.write([makeSinkMessage(1)], never), {
    retryable: true,
    message: /the bucket missing at http.*NoSuchBucket.*SINK_S3_BUCKET/u,
  });
  await missing.close();
  await t.rejects(missing.healthcheck(never), { code: 'sink-retryable' });

  const answers: readonly (readonly [number, string, boolean])[] = [
    [403, 'AccessDenied', true],
    [403, 'InvalidAccessKeyId', true],
    [403, 'SignatureDoesNotMatch', true],
    [503, 'SlowDown', true],
    [500, 'InternalError', true],
    [400, 'InvalidRequest', true],
    [400, 'EntityTooLarge', false],
    [400, 'KeyTooLongError', false],
  ];
  for (const [status, code, retryable] of answers) {
    const receiver = await startHttpReceiver(t, {
      answer: () => ({
        status,
        headers: { 'content-type': 'application/xml' },
        body: `<Error><Code>${code}</Code><Message>no</Message></Error>`,
      }),
    });
    const sink = createSink(receiver.port);
    await sink.connect(never);
    await t.rejects(sink.write([makeSinkMessage(1)], never), { retryable, message: new RegExp(code, 'u') });
    t.equal(receiver.requests.length, 1, 'the client does not retry by itself');
    await sink.close();
  }
});
