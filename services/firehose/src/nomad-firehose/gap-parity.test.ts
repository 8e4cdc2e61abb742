/** What nomad-firehose would have told of the time of a gap is told in its form, as far as the lists show it. */
import type { Message } from '@hydrant/shared/messages/message';
import { systemClock } from '@hydrant/shared/foundation/clock';
import { loadConfig } from '@hydrant/shared/runtime/config/load-config';
import { createMetrics } from '@hydrant/shared/runtime/telemetry/metrics';
import { createMemorySpool } from '@hydrant/shared/spool/memory-spool';
import { startSimulator } from '@hydrant/simulator/simulator';
import { eventually } from '@hydrant/testing/eventually';
import { readRecording } from '@hydrant/testing/recordings';
import { recordingLog } from '@hydrant/testing/test-log';
import { parse as parseLossless, stringify as stringifyLossless } from 'lossless-json';
import t from 'tap';
import type { Checkpoint } from '../checkpoint/checkpoint-store.ts';
import { nomadSettings, readFirehoseOptions, streamSettings } from '../config.ts';
import { createFirehose } from '../firehose.ts';
import { createFrameMessages } from '../message/message-maker.ts';
import { createRedact } from '../message/redact.ts';
import { scanFrame } from '../source/scan-frame.ts';
import { compatResources, createCompatMessages } from './compat-messages.ts';

const forever = new AbortController().signal;
const filter = 'topics=Allocation,Deployment,Evaluation,Job,Node namespace=* region=';
const checkpointAt = 100;

interface RecordedEvent {
  readonly Topic: string;
  readonly Key: string;
  readonly Payload: { readonly Deleted?: boolean };
}

/** By object, its last event. What is purged is in no list. */
async function lastEvents(): Promise<ReadonlyMap<string, { readonly index: number; readonly event: unknown }>> {
  const last = new Map<string, { readonly index: number; readonly event: unknown }>();
  for (const line of await readRecording('nomad-firehose-parity')) {
    const { Index: index, Events: events = [] } = parseLossless(line.toString()) as {
      readonly Index: unknown;
      readonly Events?: readonly RecordedEvent[];
    };
    for (const event of events) {
      if (event.Payload.Deleted === true) last.delete(`${event.Topic}/${event.Key}`);
      // n.b. copies of nodes that did not change say nothing.
      else if (event.Topic !== 'Node' || (event as unknown as { readonly Type: string }).Type !== 'AllocationUpdated')
        last.set(`${event.Topic}/${event.Key}`, { index: Number(index), event });
    }
  }
  return last;
}

/** What nomad-firehose says of the objects as they are in the end, those that changed after the checkpoint. */
async function expectedBodies(): Promise<string[]> {
  const messages = createFrameMessages({ cluster: 'default', region: 'default', redact: createRedact([]) });
  const compat = createCompatMessages(compatResources, 'default', {
    compatMade: () => undefined,
    compatFailed: () => undefined,
  });
  return [...(await lastEvents()).values()]
    .filter(({ index }) => index > checkpointAt)
    .flatMap(({ index, event }) => {
      const frame = scanFrame(Buffer.from(stringifyLossless({ Index: index, Events: [event] }) ?? ''));
      if (frame === 'heartbeat') throw new Error('Expected a frame');
      const made = compat.make(frame.events, messages.make(frame, 1_000).messages);
      compat.settle();
      return made.map(describe);
    });
}

/** n.b. the simulator gives the payload of a dispatched job as the stream packs it, Nomad unpacks it. */
function describe({ routingKey, body }: Message): string {
  return `${routingKey} ${body.toString().replace(/"Payload":"[^"]*"/gu, '"Payload":""')}`;
}

t.test("all that the lists still show of a gap is told in nomad-firehose's form, once", async (t) => {
  const simulator = await startSimulator({ recording: 'nomad-firehose-parity', lists: 'played' });
  t.teardown(() => simulator.close());
  await simulator.finished;
  simulator.control.evict(350);
  const published: Message[] = [];
  let checkpoint: Checkpoint | undefined = { index: checkpointAt, filter, source: simulator.url };
  const env = { NOMAD_ADDR: simulator.url, FIREHOSE_COMPAT: compatResources.join() };
  const firehose = createFirehose(readFirehoseOptions(loadConfig({ ...nomadSettings, ...streamSettings }, { env })), {
    bus: {
      publish(message) {
        published.push(message);
        return Promise.resolve('routed');
      },
      hasQueue: () => Promise.resolve(true),
    },
    spool: createMemorySpool({ maxBytes: 50_000_000 }),
    checkpointStore: {
      description: 'a variable',
      load: () => Promise.resolve(checkpoint),
      save(saved) {
        checkpoint = saved;
        return Promise.resolve();
      },
    },
    log: recordingLog().log,
    metrics: createMetrics({ service: 'firehose', version: '0' }),
    clock: systemClock,
  });
  t.teardown(() => firehose.stop(AbortSignal.abort()));
  await firehose.start(forever);
  await eventually(() => (checkpoint?.index ?? 0) > 350, { timeoutMs: 30_000 });

  const told = published.filter(({ type }) => type.startsWith('nomad-firehose.'));
  const found = new Set(told.map(describe));
  const expected = await expectedBodies();
  for (const [resource, count] of [
    ['allocations', 100],
    ['jobs', 10],
    ['evaluations', 50],
    ['deployments', 1],
  ] as const) {
    t.ok(expected.filter((line) => line.startsWith(`${resource} `)).length >= count, resource);
  }
  t.strictSame(
    expected.filter((line) => !found.has(line)),
    [],
    'byte for byte',
  );
  t.ok(told.some(({ routingKey }) => routingKey === 'jobliststubs'));
  t.equal(new Set(told.map(({ id }) => id)).size, told.length, 'nothing twice');
});
