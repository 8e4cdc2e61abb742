import { systemClock } from '../../foundation/clock.ts';
import { testFolder } from '@hydrant/testing/test-folder';
import { recordingLog, testLog } from '@hydrant/testing/test-log';
import { appendFile, chmod, readFile, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import t, { type Test } from 'tap';
import { createMemoryStateStore } from '../memory-state-store.ts';
import { change, put, stateStoreContract, type OpenStateStore } from '../state-store-contract.ts';
import { createFileStateStore } from './file-state-store.ts';

const never = new AbortController().signal;
const limits = { loop: 1000 };

async function open(t: Test, path: string, changes: Partial<Parameters<typeof createFileStateStore>[0]> = {}) {
  const store = createFileStateStore({ path, limits, log: testLog(), clock: systemClock, ...changes });
  await store.start(never);
  t.teardown(() => store.stop(never));
  return store;
}

for (const compactAboveBytes of [200, 1_000_000]) {
  stateStoreContract(t, {
    name: `file, rewritten above ${compactAboveBytes} bytes`,
    async create(t, limits): Promise<OpenStateStore> {
      const path = join(testFolder(t, {}), 'state.ndjson');
      let nowMs = systemClock.now();
      const options = { limits, compactAboveBytes, clock: { ...systemClock, now: () => nowMs } };
      return {
        store: await open(t, path, options),
        pass(ms) {
          nowMs += ms;
          return Promise.resolve();
        },
        // n.b. The first is not stopped: a death leaves the file as it is.
        reopen: () => open(t, path, options),
      };
    },
  });
}

stateStoreContract(t, {
  name: 'memory',
  create(_t, limits) {
    let nowMs = 0;
    const store = createMemoryStateStore({ limits, clock: { now: () => nowMs } });
    return Promise.resolve({
      store,
      pass: (ms) => Promise.resolve(void (nowMs += ms)),
      reopen: () => Promise.resolve(store),
    });
  },
});

t.test('a torn last line is cut off, damaged ones are left out and reported', async (t) => {
  const path = join(testFolder(t, {}), 'state.ndjson');
  const first = await open(t, path);
  await change(first, put('loop/a', '1'));
  await appendFile(path, 'damaged\n[["loop/x",1]]\n[["other/x"]]\n{"for');
  const { log, lines } = recordingLog();

  const second = await open(t, path, { log });
  await change(second, put('loop/b', '2'));

  t.match(lines, [{ level: 'error', damaged: 3 }]);
  const third = await open(t, path);
  t.same(
    [...(await third.load(['loop/a', 'loop/b'])).values()].map((entry) => entry?.value),
    ['1', '2'],
  );
  t.notMatch(await readFile(path, 'utf8'), '{"for[');
});

t.test('nobody but the owner can read it', async (t) => {
  const path = join(testFolder(t, {}), 'deep', 'state.ndjson');
  const store = await open(t, path, { compactAboveBytes: 100 });
  for (const number of [1, 2, 3, 4]) await change(store, put('loop/a', String(number)));
  t.equal((await stat(path)).mode & 0o777, 0o600);
  t.equal((await stat(dirname(path))).mode & 0o777, 0o700);

  await chmod(path, 0o644);
  await open(t, path);
  t.equal((await stat(path)).mode & 0o777, 0o600);
});

t.test('is rewritten when it has grown, without what has expired', async (t) => {
  const path = join(testFolder(t, {}), 'state.ndjson');
  let nowMs = 0;
  const store = await open(t, path, { compactAboveBytes: 2_000, clock: { ...systemClock, now: () => nowMs } });
  await change(store, put('loop/old', '1', { expiresInMs: 1000 }));
  nowMs = 1000;
  for (let number = 0; number < 500; number += 1) await change(store, put('loop/a', String(number)));

  t.ok((await stat(path)).size < 10_000);
  t.notMatch(await readFile(path, 'utf8'), 'old');
  t.equal(
    (await (await open(t, path, { clock: { ...systemClock, now: () => nowMs } })).load(['loop/a'])).get('loop/a')
      ?.value,
    '499',
  );
});

t.test('rejects while its file cannot be written, and keeps the change for the next time', async (t) => {
  const path = join(testFolder(t, {}), 'state.ndjson');
  const store = createFileStateStore({ path, limits, log: testLog(), clock: systemClock });
  await t.rejects(change(store, put('loop/a', '1')), { code: 'state-unavailable', retryable: true });

  await store.start(never);
  await change(store, put('loop/b', '1'));
  await store.stop(never);

  t.match(await readFile(path, 'utf8'), '"loop/a"');
});

t.test('a journal of a newer format is refused, and left as it is', async (t) => {
  const path = join(testFolder(t, {}), 'state.ndjson');
  await writeFile(path, '{"format":2}\n');

  const store = createFileStateStore({ path, limits, log: testLog(), clock: systemClock });
  await t.rejects(store.start(never), {
    code: 'state-format-newer',
    message: /at most the format 1, .* found the format 2: .*Run that version again/u,
  });
  await store.stop(never);
  t.equal(await readFile(path, 'utf8'), '{"format":2}\n');
});
