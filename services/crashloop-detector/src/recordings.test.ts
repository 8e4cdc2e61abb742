/**
 * What the recordings of a real Nomad come to, whatever the order in which their events arrive: each event goes the
 * whole way from bytes into the ledger's rules.
 */
import t from 'tap';
import { forEachElement, forEachMember } from '@hydrant/shared/foundation/json-scanner';
import { makeEventMessage } from '@hydrant/shared/messages/event-message';
import type { Message } from '@hydrant/shared/messages/message';
import { readEventHead } from '@hydrant/shared/messages/nomad-event';
import { readRecordedList, readRecording, readRecordingFile, type RecordingName } from '@hydrant/testing/recordings';
import { createPlayedLedger, type PlayedLoop } from './ledger/ledger-cases-contract.ts';
import { readObservations } from './read-observations.ts';

const rule = { count: 5, intervalMs: 3_600_000, notificationIntervalMs: 600_000 };

function makeMessage(body: Buffer, origin: 'stream' | 'snapshot'): Message {
  const { topic, type, key, namespace, index } = readEventHead(body, 0, body.length);
  return makeEventMessage({
    cluster: 'c',
    region: 'global',
    index,
    origin,
    timestampMs: 1,
    topic,
    type,
    body,
    routingKey: 'x',
    id: `c/${index}/${topic}/${namespace}/${key}/${origin}`,
  });
}

async function streamMessages(name: RecordingName): Promise<Message[]> {
  const messages: Message[] = [];
  for (const line of await readRecording(name)) {
    forEachMember(line, 0, (member, at) => {
      if (member === 'Events')
        forEachElement(line, at, (from, to) => {
          messages.push(makeMessage(line.subarray(from, to), 'stream'));
        });
    });
  }
  return messages.filter(({ type }) => type.startsWith('nomad.Allocation.'));
}

/** The allocations of the recorded list, byte for byte in the payload of a snapshot message. */
async function listMessages(name: RecordingName): Promise<Message[]> {
  const bytes = await readRecordingFile(name, 'allocations.json.gz');
  const heads = await readRecordedList(name, 'allocations');
  const messages: Message[] = [];
  forEachElement(bytes, 0, (from, to) => {
    const { ID, Namespace, ModifyIndex } = heads[messages.length] ?? {};
    const head = JSON.stringify({
      Topic: 'Allocation',
      Type: 'Snapshot',
      Key: ID,
      Namespace,
      FilterKeys: [],
      Index: ModifyIndex,
    });
    const body = `${head.slice(0, -1)},"Payload":{"Allocation":${bytes.toString('utf8', from, to)}}}`;
    messages.push(makeMessage(Buffer.from(body), 'snapshot'));
  });
  return messages;
}

async function play(messages: readonly Message[]): Promise<readonly PlayedLoop[]> {
  const ledger = createPlayedLedger();
  for (const message of messages) {
    const input = readObservations(message, 'lineage');
    if (input.kind === 'foreign') continue;
    for (const observation of input.observations) await ledger.record(observation, rule);
  }
  return ledger.loops();
}

/** Crashes per job, over all its lineages: the job is the word before the dot in the allocation's name. */
function crashesByJob(loops: readonly PlayedLoop[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { key, crashes } of loops) {
    const job = decodeURIComponent(key.split('/')[3] ?? '').split('.')[0] ?? '';
    if (crashes.length > 0) counts[job] = (counts[job] ?? 0) + crashes.length;
  }
  return counts;
}

/** Moves each by up to `width` places, and repeats some of them later; the same for the same seed. */
function shuffle<T>(items: readonly T[], width: number, seed: number): T[] {
  let state = seed;
  const random = (): number => (state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0) / 4_294_967_296;
  const placed = items.flatMap((item, index) => {
    const copies = random() < 0.2 ? 2 : 1;
    return Array.from({ length: copies }, (_, copy) => ({
      item,
      at: index + random() * width + copy * 100 * random(),
    }));
  });
  return placed.sort((a, b) => a.at - b.at).map(({ item }) => item);
}

const fromStream = { 'billing-sync': 22, 'checkout-api': 7, 'geo-index': 14, 'node-agent': 13, thumbnailer: 431 };

t.test('crashing-cluster, from its stream', async (t) => {
  const messages = await streamMessages('crashing-cluster');

  t.same(crashesByJob(await play(messages)), fromStream, 'in order');
  for (let seed = 1; seed <= 20; seed += 1)
    t.same(
      crashesByJob(await play(shuffle(messages, 30, seed))),
      fromStream,
      `shuffled within 30 and repeated, ${seed}`,
    );
  t.equal((await play(messages)).length, 5 + 3, 'one lineage for each that loops, and those with requested restarts');
});

t.test('crashing-cluster, from its stream and then its lists', async (t) => {
  const messages = [...(await streamMessages('crashing-cluster')), ...(await listMessages('crashing-cluster'))];

  const { ledger, ...others } = crashesByJob(await play(messages));
  t.same(others, fromStream);
  t.ok(ledger !== undefined && ledger > 0, 'the job that only the lists show');
});

t.test('crashing-cluster, from its lists alone: what the events that are visible prove', async (t) => {
  const visible: Record<string, number> = {};
  for (const allocation of (await readRecordedList(
    'crashing-cluster',
    'allocations',
  )) as unknown as WrittenAllocation[]) {
    const crashes = taskEvents(allocation).filter(
      ({ Type, RestartReason }) => Type === 'Not Restarting' || (Type === 'Restarting' && RestartReason !== ''),
    );
    if (crashes.length > 0) visible[allocation.JobID] = (visible[allocation.JobID] ?? 0) + crashes.length;
  }

  t.same(crashesByJob(await play(await listMessages('crashing-cluster'))), visible);
  t.same(
    Object.keys(visible).sort(),
    ['billing-sync', 'checkout-api', 'geo-index', 'ledger', 'node-agent', 'thumbnailer'],
    'what a user or a template restarted is none',
  );
});

t.test('burst: each storm of two allocations is a lineage with all its crashes', async (t) => {
  const messages = await streamMessages('burst');
  const counts = new Map<string, number>();
  const parents = new Map<string, string>();
  for (const { body } of messages) {
    const { Payload } = JSON.parse(body.toString('utf8')) as { Payload: { Allocation: WrittenAllocation } };
    const { ID, PreviousAllocation, JobID, TaskStates } = Payload.Allocation;
    if (JobID !== 'storm') continue;
    if (PreviousAllocation !== undefined && PreviousAllocation !== '') parents.set(ID, PreviousAllocation);
    for (const { Restarts, Failed } of Object.values(TaskStates ?? {}))
      counts.set(ID, Math.max(counts.get(ID) ?? 0, Restarts + (Failed ? 1 : 0)));
  }
  const expected = new Map<string, number>();
  for (const [id, count] of counts) {
    const root = parents.get(id) ?? id;
    expected.set(root, (expected.get(root) ?? 0) + count);
  }
  t.equal(new Set([...counts.keys(), ...parents.values()]).size, 240);
  t.equal(expected.size, 120);

  for (const events of [messages, shuffle(messages, 30, 1), shuffle(messages, 30, 2)]) {
    const found = new Map(
      (await play(events)).map(({ key, crashes }) => [key.split('/').at(-1) ?? '', crashes.length]),
    );
    t.same(found, expected);
  }
});

interface WrittenAllocation {
  readonly ID: string;
  readonly JobID: string;
  readonly PreviousAllocation?: string;
  readonly TaskStates: Readonly<
    Record<
      string,
      {
        readonly Restarts: number;
        readonly Failed: boolean;
        readonly Events: readonly { readonly Type: string; readonly RestartReason: string }[] | null;
      }
    >
  > | null;
}

function taskEvents({ TaskStates }: WrittenAllocation) {
  return Object.values(TaskStates ?? {}).flatMap(({ Events }) => Events ?? []);
}
