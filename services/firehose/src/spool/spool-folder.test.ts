/** A firehose with its spool in a folder: what a restart, a full disk and a folder that is not its own do. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pipeline } from 'node:stream';
import { join } from 'node:path';
import type { Bus } from '@hydrant/shared/bus/bus';
import { systemClock } from '@hydrant/shared/foundation/clock';
import { HydrantError } from '@hydrant/shared/foundation/errors';
import type { Message } from '@hydrant/shared/messages/message';
import { loadConfig } from '@hydrant/shared/runtime/config/load-config';
import { createMetrics, type Metrics } from '@hydrant/shared/runtime/telemetry/metrics';
import { createFolderSpool } from '@hydrant/shared/spool/folder-spool';
import { startSimulator, type Simulator } from '@hydrant/simulator/simulator';
import { eventually } from '@hydrant/testing/eventually';
import { readRecordingFile } from '@hydrant/testing/recordings';
import { testFolder } from '@hydrant/testing/test-folder';
import { recordingLog, type RecordingLog } from '@hydrant/testing/test-log';
import t, { type Test } from 'tap';
import type { Checkpoint, CheckpointStore } from '../checkpoint/checkpoint-store.ts';
import { nomadSettings, readFirehoseOptions, streamSettings } from '../config.ts';
import { createFirehose, type Firehose } from '../firehose.ts';
import { createFileSpoolNote } from './file-spool-note.ts';

const forever = new AbortController().signal;
const away: Bus['publish'] = () =>
  Promise.reject(new HydrantError('Expected a connection', { code: 'bus-unavailable', retryable: true }));

interface Place {
  readonly dir: string;
  readonly simulator: Simulator;
  readonly taken: Message[];
  checkpoint: Checkpoint | undefined;
}

interface Run {
  readonly firehose: Firehose;
  readonly metrics: Metrics;
  readonly logged: RecordingLog['lines'];
}

async function setPlace(t: Test): Promise<Place> {
  const simulator = await startSimulator({ speed: 60, paused: true, lists: 'played' });
  t.teardown(() => simulator.close());
  return { dir: testFolder(t), simulator, taken: [], checkpoint: undefined };
}

/** Not started. */
function makeFirehose(
  place: Place,
  publish: Bus['publish'],
  settings: Readonly<Record<string, string>> = { FIREHOSE_CLUSTER: 'default' },
): Run {
  const store: CheckpointStore = {
    description: 'a variable',
    load: () => Promise.resolve(place.checkpoint),
    save: (checkpoint) => {
      place.checkpoint = checkpoint;
      return Promise.resolve();
    },
  };
  const metrics = createMetrics({ service: 'firehose', version: '0' });
  const { log, lines: logged } = recordingLog();
  const options = readFirehoseOptions(
    loadConfig({ ...nomadSettings, ...streamSettings }, { env: { NOMAD_ADDR: place.simulator.url, ...settings } }),
  );
  const spool = createFolderSpool({
    dir: place.dir,
    owner: `of cluster "${options.cluster}"`,
    maxBytes: 100_000_000,
    segmentBytes: 100_000,
    log,
    clock: systemClock,
  });
  const firehose = createFirehose(options, {
    bus: { publish, hasQueue: () => Promise.resolve(true) },
    spool,
    spoolNote: createFileSpoolNote({ path: join(place.dir, 'firehose.json') }),
    checkpointStore: store,
    log,
    metrics,
    clock: systemClock,
  });
  return { firehose, metrics, logged };
}

async function run(t: Test, place: Place, publish: Bus['publish'], nomadUrl = place.simulator.url): Promise<Run> {
  const made = makeFirehose(place, publish, { FIREHOSE_CLUSTER: 'default', NOMAD_ADDR: nomadUrl });
  await made.firehose.start(forever);
  t.teardown(() => made.firehose.stop(AbortSignal.abort()));
  return made;
}

function take(place: Place): Bus['publish'] {
  return (message) => {
    place.taken.push(message);
    return Promise.resolve('routed');
  };
}

async function valueOf(metrics: Metrics, name: string): Promise<number> {
  return Number(new RegExp(`^${name} (\\d+)$`, 'mu').exec(await metrics.text())?.[1]);
}

async function recordedHashes(): Promise<string[]> {
  const text = (await readRecordingFile('crashing-cluster', 'event-hashes.ndjson.gz')).toString();
  return text
    .trim()
    .split('\n')
    .map((line) => (JSON.parse(line) as { sha256: string }).sha256);
}

function missing(expected: readonly string[], { taken }: Place): string[] {
  const hashes = new Set(taken.map(({ body }) => createHash('sha256').update(body).digest('hex')));
  return expected.filter((hash) => !hashes.has(hash));
}

async function playTo({ simulator }: Place, index: number): Promise<void> {
  simulator.control.resume();
  await eventually(() => simulator.state.finished || (simulator.state.newestIndex ?? 0) >= index, {
    timeoutMs: 60_000,
  });
  simulator.control.pause();
}

function readIndexOf(metrics: Metrics): Promise<number> {
  return valueOf(metrics, 'hydrant_firehose_read_index');
}

/** Of the recording's frames under the default topics. The simulator's newest one may be of another topic. */
const newestRecorded = 355;

async function untilRead(place: Place, { metrics }: Run, index: number): Promise<void> {
  await playTo(place, index);
  await eventually(async () => (await readIndexOf(metrics)) >= Math.min(index, newestRecorded), { timeoutMs: 30_000 });
}

t.test(
  'what was read while the bus was away is published after a restart, though Nomad has forgotten it',
  async (t) => {
    const place = await setPlace(t);
    const first = await run(t, place, away);
    await untilRead(place, first, 200);
    await first.firehose.stop(AbortSignal.abort());
    t.equal(place.checkpoint, undefined);
    const kept = await readIndexOf(first.metrics);
    place.simulator.control.evict(kept - 20);

    const second = await run(t, place, take(place));
    await untilRead(place, second, Infinity);
    await eventually(() => place.checkpoint?.index === 355, { timeoutMs: 30_000 });

    t.strictSame(missing(await recordedHashes(), place), []);
    t.notMatch(
      await second.metrics.text(),
      /hydrant_firehose_gaps_total\{reason="[a-z-]+"\} [1-9]/u,
      'nothing had to be healed',
    );
    t.ok(
      second.logged.some(
        ({ msg, events, resumeAt }) =>
          msg === 'Publishing what the spool has kept' && Number(events) > 100 && Number(resumeAt) < kept,
      ),
    );
  },
);

t.test('the checkpoint stays behind a backlog until it is confirmed and the stream went on', async (t) => {
  const place = await setPlace(t);
  const first = await run(t, place, away);
  await untilRead(place, first, 200);
  await first.firehose.stop(AbortSignal.abort());
  place.checkpoint = {
    index: 20,
    filter: 'topics=Allocation,Deployment,Evaluation,Job,Node namespace=* region=',
    source: '',
  };
  await place.simulator.control.refuse();

  const second = await run(t, place, take(place));
  await eventually(
    async () => place.taken.length > 0 && (await valueOf(second.metrics, 'hydrant_firehose_spool_events')) === 0,
  );
  await second.firehose.stop(forever);

  t.equal(place.checkpoint.index, 20);
});

/** A Nomad whose stream can be read and whose lists never answer. */
async function startWithoutLists(t: Test, { simulator }: Place): Promise<string> {
  const server = createServer((incoming, answer) => {
    if (incoming.url?.startsWith('/v1/event/stream') !== true) return;
    request(`${simulator.url}${incoming.url}`, (response) => {
      answer.writeHead(response.statusCode ?? 0, response.headers);
      pipeline(response, answer, () => undefined);
    })
      .on('error', () => {
        answer.destroy();
      })
      .end();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(async () => {
    server.close();
    server.closeAllConnections();
    await once(server, 'close');
  });
  return `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`;
}

t.test('a kill while a gap is healed goes back to the checkpoint, and finds the gap again', async (t) => {
  const place = await setPlace(t);
  const first = await run(t, place, take(place));
  await untilRead(place, first, 60);
  await eventually(() => (place.checkpoint?.index ?? 0) > 40);
  await first.firehose.stop(forever);
  const checkpoint = place.checkpoint?.index ?? 0;
  await playTo(place, 200);
  place.simulator.control.evict(150);
  const second = await run(t, place, away, await startWithoutLists(t, place));
  await untilRead(place, second, 250);
  await second.firehose.stop(AbortSignal.abort());

  const third = await run(t, place, take(place));
  await untilRead(place, third, Infinity);
  await eventually(() => place.checkpoint?.index === 355, { timeoutMs: 30_000 });

  t.match(await third.metrics.text(), /hydrant_firehose_gaps_total\{reason="evicted"\} 1/u);
  t.ok(
    third.logged.some(({ msg, resumeAt }) => msg === 'Publishing what the spool has kept' && resumeAt === checkpoint),
  );
  t.ok(
    place.taken.some(({ headers }) => headers['origin'] === 'snapshot'),
    'what was missed came from the lists',
  );
});

t.test('a folder of another cluster is refused and left as it is', async (t) => {
  const place = await setPlace(t);
  const first = await run(t, place, away);
  await untilRead(place, first, 50);
  await first.firehose.stop(AbortSignal.abort());
  const names = await readdir(place.dir);
  const before = await Promise.all(names.map((name) => readFile(join(place.dir, name))));

  const { firehose } = makeFirehose(place, take(place), { FIREHOSE_CLUSTER: 'other' });
  await t.rejects(firehose.start(forever), {
    code: 'spool-foreign',
    retryable: false,
    message: /spool\.json.*of cluster "other".*of cluster "default".*folder of its own/u,
  });

  t.strictSame(await readdir(place.dir), names);
  t.strictSame(await Promise.all(names.map((name) => readFile(join(place.dir, name)))), before);
});

t.test('a folder that another version wrote is refused and left as it is', async (t) => {
  const place = await setPlace(t);
  await writeFile(join(place.dir, 'spool.json'), '{"format":3}\n');
  const { firehose } = makeFirehose(place, take(place));

  await t.rejects(firehose.start(forever), {
    code: 'spool-format',
    retryable: false,
    message: /spool\.json to say format 2, got 3.*let that version empty it, or point to a folder of its own/u,
  });

  t.strictSame(await readdir(place.dir), ['spool.json']);
  t.equal(await readFile(join(place.dir, 'spool.json'), 'utf8'), '{"format":3}\n');
});

t.test('a second process on the folder is refused by name', async (t) => {
  const place = await setPlace(t);
  await run(t, place, away);

  const { firehose } = makeFirehose(place, away);
  await t.rejects(firehose.start(forever), {
    code: 'spool-locked',
    message: new RegExp(`process ${String(process.pid)} .*folder of its own`, 'u'),
  });
});

const canMount = spawnSync('unshare', ['--mount', 'mount', '-t', 'tmpfs', 'tmpfs', '/mnt']).status === 0;

t.test(
  'a full disk stops reading, says why, and loses nothing when there is room again',
  { skip: !canMount && 'a small disk takes the right to mount one' },
  async (t) => {
    const place = await setPlace(t);
    t.equal(spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=512k', 'tmpfs', place.dir]).status, 0);
    t.teardown(() => {
      spawnSync('umount', ['--lazy', place.dir]);
    });
    let publish = away;
    const { metrics, logged } = await run(t, place, (message, options) => publish(message, options));
    place.simulator.control.resume();
    await eventually(
      async () => /stream_failures_total\{reason="spool-unavailable"\} [2-9]/u.test(await metrics.text()),
      { timeoutMs: 30_000 },
    );
    const said = logged.find(({ msg }) => msg === 'The event stream broke, will resume')?.['err'];
    t.match(said, {
      code: 'spool-unavailable',
      message: new RegExp(`write to the log in ${place.dir}; make sure that the disk has space`, 'u'),
      cause: { code: 'ENOSPC' },
    });

    t.equal(spawnSync('mount', ['-o', 'remount,size=64m', place.dir]).status, 0);
    publish = take(place);
    await eventually(() => place.checkpoint?.index === 355, { timeoutMs: 60_000 });

    t.strictSame(missing(await recordedHashes(), place), []);
  },
);

t.test('a folder that cannot be written is named, with what to do', async (t) => {
  const place = await setPlace(t);
  await writeFile(join(place.dir, 'file'), '');
  const { firehose } = makeFirehose({ ...place, dir: join(place.dir, 'file', 'spool') }, away);

  await t.rejects(firehose.start(forever), {
    code: 'spool-unavailable',
    message: /open the log in .*file\/spool; make sure that this process may make and write files there/u,
  });
});

t.test(
  'a disk that may only be read is named, with what to do',
  { skip: !canMount && 'a small disk takes the right to mount one' },
  async (t) => {
    const place = await setPlace(t);
    t.equal(spawnSync('mount', ['-t', 'tmpfs', '-o', 'ro,size=512k', 'tmpfs', place.dir]).status, 0);
    t.teardown(() => {
      spawnSync('umount', ['--lazy', place.dir]);
    });
    const { firehose } = makeFirehose(place, away);

    await t.rejects(firehose.start(forever), {
      code: 'spool-unavailable',
      message: /make sure that this process may make and write files there/u,
      cause: { code: 'EROFS' },
    });
  },
);
