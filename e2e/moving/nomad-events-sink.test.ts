/**
 * Who used nomad-events-sink starts standalone with the old file, variables and folder, and gets the same JSON arrays
 * at the same URL. The file is nomad-events-sink's config.sample.toml as it is published.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startSimulator } from '@hydrant/simulator/simulator';
import { eventually } from '@hydrant/testing/eventually';
import { startHttpReceiver, type HttpReceiver } from '@hydrant/testing/http-receiver';
import { readRecording } from '@hydrant/testing/recordings';
import { testFolder } from '@hydrant/testing/test-folder';
import t, { type Test } from 'tap';
import { createServiceProcess } from '../src/service-process.ts';

const sample = fileURLToPath(new URL('nomad-events-sink/config.toml', import.meta.url));
const topics = ['Deployment', 'Allocation', 'Evaluation', 'Job', 'Node'];

type Event = Readonly<Record<string, unknown>> & { readonly Index: number; readonly Topic: string };

/** As nomad-events-sink told of an event, numbers rounded as its were. */
function asBefore({ Topic, Type, Key, FilterKeys, Index, Payload }: Event): string {
  return JSON.stringify({ Topic, Type, Key, FilterKeys, Index, Payload });
}

async function recordedEvents(): Promise<readonly Event[]> {
  const events: Event[] = [];
  for (const line of await readRecording('crashing-cluster')) {
    const { Events: found = [] } = JSON.parse(line.toString('utf8')) as { readonly Events?: readonly Event[] };
    events.push(
      ...found.filter(
        ({ Topic, Namespace }) => topics.includes(Topic) && (Namespace === 'default' || Namespace === ''),
      ),
    );
  }
  return events;
}

function arrays({ requests }: HttpReceiver): readonly (readonly Event[])[] {
  return requests
    .filter(({ method }) => method === 'POST')
    .map(({ body }) => JSON.parse(body.toString('utf8')) as readonly Event[]);
}

function distinct(events: readonly Event[]): readonly string[] {
  return [...new Set(events.map(asBefore))].sort();
}

/** The sample with the two settings that a test has to have its own way, as variables of nomad-events-sink. */
async function createStandalone(
  t: Test,
  folder: string,
  { nomadUrl, url }: { readonly nomadUrl: string; readonly url: string },
) {
  const settings = {
    NOMAD_ADDR: nomadUrl,
    NOMAD_EVENTS_SINK_sinks__http__root_url: url,
    NOMAD_EVENTS_SINK_app__data_dir: folder,
  };
  const standalone = await createServiceProcess('standalone', settings, ['--config', sample]);
  t.teardown(() => standalone.kill());
  return standalone;
}

void t.test('the sample delivers the same arrays to the same URL', async (t) => {
  const simulator = await startSimulator({ speed: 15, paused: true });
  t.teardown(() => simulator.close());
  const receiver = await startHttpReceiver(t);
  const standalone = await createStandalone(t, join(testFolder(t, {}), 'data', 'events'), {
    nomadUrl: simulator.url,
    url: `${receiver.url}/nomad`,
  });
  const expected = distinct(await recordedEvents());

  await standalone.start();
  simulator.control.resume();
  await eventually(() => distinct(arrays(receiver).flat()).length >= expected.length, {
    timeoutMs: 90_000,
    message: 'every event arrives',
  });
  const exitCode = await standalone.stop();

  t.equal(expected.length, 879);
  t.same(distinct(arrays(receiver).flat()), expected);
  t.ok(
    arrays(receiver).every((array) => array.length >= 1 && array.length <= 5),
    'batches of events_count',
  );
  t.same(
    [
      ...new Set(
        receiver.requests
          .filter(({ method }) => method === 'POST')
          .map(({ path, headers }) => `${path} ${String(headers['content-type'])}`),
      ),
    ],
    ['/nomad application/json'],
  );
  t.equal(exitCode, 0);
});

void t.test('goes on where its index.json says, and then from its own checkpoint', async (t) => {
  const simulator = await startSimulator({ speed: 1000 });
  t.teardown(() => simulator.close());
  await simulator.finished;
  const receiver = await startHttpReceiver(t);
  const folder = join(testFolder(t, {}), 'events');
  await mkdir(folder);
  const standalone = await createStandalone(t, folder, { nomadUrl: simulator.url, url: receiver.url });
  const events = await recordedEvents();
  // An index that an event had: nothing else stands in that file.
  const from =
    events
      .map(({ Index }) => Index)
      .sort((a, b) => a - b)
      .find((index) => index >= 260) ?? 0;
  const expected = distinct(events.filter(({ Index }) => Index >= from));
  await writeFile(
    join(folder, 'index.json'),
    JSON.stringify({ Allocation: 300, Deployment: from, Evaluation: 301, Job: 299, Node: 300 }),
  );

  await standalone.start();
  await eventually(() => distinct(arrays(receiver).flat()).length >= expected.length, {
    timeoutMs: 90_000,
    message: 'every event arrives',
  });
  const newest = Math.max(...events.map(({ Index }) => Index));
  await eventually(
    async () =>
      (JSON.parse(await readFile(join(folder, 'checkpoint.json'), 'utf8')) as { index: number }).index >= newest,
    { timeoutMs: 30_000, message: 'the checkpoint is saved' },
  );
  await standalone.stop();

  t.ok(expected.length > 100 && expected.length < 879);
  t.same(distinct(arrays(receiver).flat()), expected);
  t.notMatch(standalone.log(), /has a gap/u);
});
