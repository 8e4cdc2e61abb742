import { sinkContract, makeSinkMessage } from '@hydrant/shared/delivery/sink-contract';
import type { Sink } from '@hydrant/shared/delivery/sink';
import { findOpenToOthers } from '@hydrant/testing/open-to-others';
import { testFolder } from '@hydrant/testing/test-folder';
import { testLog } from '@hydrant/testing/test-log';
import { execFileSync, spawnSync } from 'node:child_process';
import { chmod, mkdir, readFile, rename, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { fileSink } from './file.ts';

const never = new AbortController().signal;

function createSink(file: string): Sink {
  return fileSink.create({ SINK_FILE_PATH: file }, { log: testLog(), name: 'file' });
}

async function readLines(file: string): Promise<readonly string[]> {
  const content = await readFile(file, 'utf8');
  return content === '' ? [] : content.trimEnd().split('\n');
}

async function open(t: Test, file: string): Promise<Sink> {
  const sink = createSink(file);
  t.teardown(() => sink.close());
  await sink.connect(never);
  return sink;
}

sinkContract(t, {
  name: 'file',
  without: {
    stall: 'a write to the disk cannot be cut off',
    refuse: 'a disk refuses no message for what it is',
    refuseOne: 'a batch is written whole or cut off again',
  },
  async create(t) {
    const folder = join(testFolder(t), 'deep', 'er');
    const file = join(folder, 'events.ndjson');
    return {
      sink: createSink(file),
      arrived: () => readLines(file),
      async breakDown() {
        await rm(folder, { recursive: true });
        await writeFile(folder, 'in the way');
      },
      mend: () => rm(folder),
    };
  },
});

void t.test('a file that was moved away is opened anew', async (t) => {
  const file = join(testFolder(t), 'events.ndjson');
  const sink = await open(t, file);

  await sink.write([makeSinkMessage(1)], never);
  await rename(file, `${file}.1`);
  await sink.write([makeSinkMessage(2)], never);
  await rm(file);
  await sink.write([makeSinkMessage(3)], never);
  await truncate(file);
  await sink.write([makeSinkMessage(4)], never);

  t.same((await readLines(`${file}.1`)).length, 1);
  t.match(await readFile(file, 'utf8'), /^\{"Index":4,.*\}\n$/u);
});

void t.test('nobody but the owner can read what it makes', async (t) => {
  const folder = join(testFolder(t), 'deep');
  const file = join(folder, 'er', 'events.ndjson');
  const sink = await open(t, file);

  await sink.write([makeSinkMessage(1)], never);
  await rename(file, `${file}.1`);
  await sink.write([makeSinkMessage(2)], never);

  t.strictSame(await findOpenToOthers(folder), { open: [], seen: ['er', 'er/events.ndjson', 'er/events.ndjson.1'] });
});

void t.test('the part of a line that a crash left is cut off at the next start', async (t) => {
  const whole = '{"a":1}\n{"b":2}\n';
  const torn = `{"c":"${'x'.repeat(200_000)}`;
  for (const [before, after] of [
    [whole + torn, whole],
    [torn, ''],
    [whole, whole],
    ['', ''],
  ] as const) {
    const file = join(testFolder(t, { 'events.ndjson': before }), 'events.ndjson');
    const sink = createSink(file);
    await sink.connect(never);
    t.equal(await readFile(file, 'utf8'), after);
    await sink.write([makeSinkMessage(1)], never);
    await sink.close();
    t.ok((await readFile(file, 'utf8')).startsWith(`${after}{"Index":1`));
  }
});

void t.test('what is no file of JSON lines is left alone', async (t) => {
  const folder = testFolder(t, { 'notes.txt': 'first\nsecond', folder: {} });

  await t.rejects(createSink(join(folder, 'notes.txt')).connect(never), {
    code: 'sink-permanent',
    message: /ends in something else/u,
  });
  t.equal(await readFile(join(folder, 'notes.txt'), 'utf8'), 'first\nsecond');
  await t.rejects(createSink(join(folder, 'folder')).connect(never), {
    code: 'sink-permanent',
    message: /something else/u,
  });
  await t.rejects(createSink('/dev/null').connect(never), { code: 'sink-permanent' });
});

void t.test('many writes at once stand one after the other', async (t) => {
  const file = join(testFolder(t), 'events.ndjson');
  const sink = await open(t, file);

  await Promise.all(Array.from({ length: 20 }, (_, n) => sink.write([makeSinkMessage(n)], never)));
  await t.rejects(sink.write([makeSinkMessage(99)], AbortSignal.abort()), { code: 'sink-retryable' });

  t.same(
    (await readLines(file)).map((line) => /"Index":(\d+)/u.exec(line)?.[1]),
    Array.from({ length: 20 }, (_, n) => String(n)),
  );
});

void t.test('a folder that comes back is written to again', async (t) => {
  const folder = join(testFolder(t), 'mount');
  const file = join(folder, 'events.ndjson');
  const sink = await open(t, file);
  await sink.write([makeSinkMessage(1)], never);

  await rename(folder, `${folder}.gone`);
  await mkdir(folder);
  await sink.write([makeSinkMessage(2)], never);

  t.ok((await stat(file)).size > 0);
  t.equal((await readLines(join(`${folder}.gone`, 'events.ndjson'))).length, 1);
});

/**
 * The longest that a file of this process may become; none: as long as there is room. Stands for a full disk: what fits
 * is written, the rest is not.
 */
function limitFileSize(bytes: number | undefined): void {
  execFileSync('prlimit', [
    '--pid',
    String(process.pid),
    `--fsize=${bytes === undefined ? 'unlimited' : String(bytes)}:unlimited`,
  ]);
}

const longerThanAnyLog = 16 * 1024 * 1024;
const withoutPrlimit = spawnSync('prlimit', ['--version']).status === 0 ? false : 'prlimit is not installed';

void t.test(
  'a full disk is waited for: what was written of a batch is cut off, and it comes whole when there is room',
  { skip: withoutPrlimit },
  async (t) => {
    const file = join(testFolder(t), 'events.ndjson');
    // n.b. the limit holds for every file of the process, and stdout or stderr may be one.
    await writeFile(file, Buffer.concat([Buffer.alloc(longerThanAnyLog), Buffer.from('\n')]));
    const sink = await open(t, file);
    const batch = Array.from({ length: 50 }, (_, n) => makeSinkMessage(n + 2));
    const ignore = (): void => undefined;
    // By itself the signal would end the process.
    process.on('SIGXFSZ', ignore);
    t.teardown(() => {
      limitFileSize(undefined);
      process.off('SIGXFSZ', ignore);
    });
    await sink.write([makeSinkMessage(1)], never);
    const { size } = await stat(file);

    limitFileSize(size + 100);
    for (let time = 0; time < 2; time += 1) {
      await t.rejects(sink.write(batch, never), {
        code: 'sink-retryable',
        message: /Expected to write 50 messages to .*events\.ndjson, could not/u,
        cause: { code: 'EFBIG' },
      });
      t.equal((await stat(file)).size, size);
    }
    limitFileSize(undefined);
    await sink.write(batch, never);

    t.equal(
      (await readFile(file))
        .subarray(longerThanAnyLog + 1)
        .toString()
        .trim()
        .split('\n').length,
      51,
    );
  },
);

void t.test('a folder that may not be written to is waited for, and named', async (t) => {
  const closed = join(testFolder(t, { folder: {} }), 'folder');
  await chmod(closed, 0o500);
  // Nothing keeps root from writing but the kernel's own folders.
  const folder = process.getuid?.() === 0 ? '/sys/hydrant' : closed;
  const sink = createSink(join(folder, 'events.ndjson'));

  await t.rejects(sink.connect(never), { code: 'sink-retryable', message: /SINK_FILE_PATH\), could not open it/u });
  await t.rejects(sink.write([makeSinkMessage(1)], never), { code: 'sink-retryable', message: /events\.ndjson/u });
  await t.rejects(sink.healthcheck(never), { code: 'sink-retryable', message: /events\.ndjson/u });
});
