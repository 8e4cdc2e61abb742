import { readRecording, readRecordingFile } from '@hydrant/testing/recordings';
import type { Message } from '@hydrant/shared/messages/message';
import t from 'tap';
import { createFrameMessages } from '../message/message-maker.ts';
import { createRedact } from '../message/redact.ts';
import { scanFrame } from '../source/scan-frame.ts';
import { compatResources, createCompatMessages, type CompatResource } from './compat-messages.ts';

const lastRecordedIndex = 353;

interface Identified {
  readonly ID: string;
  readonly ModifyIndex: number;
}

/** What nomad-firehose printed, line by line. */
async function readPrinted(resource: string): Promise<string[]> {
  return (await readRecordingFile('nomad-firehose-parity', `${resource}.out.ndjson.gz`)).toString().trim().split('\n');
}

/** Every compat message that the recorded stream gives. */
async function makeAll(resources: readonly CompatResource[]): Promise<Message[]> {
  const failures: unknown[] = [];
  const messages = createFrameMessages({ cluster: 'prod', region: 'default', redact: createRedact([]) });
  const compat = createCompatMessages(resources, 'prod', {
    compatMade: () => undefined,
    compatFailed: (failure) => {
      failures.push(failure);
    },
  });
  const made: Message[] = [];
  for (const line of await readRecording('nomad-firehose-parity')) {
    const frame = scanFrame(line);
    if (frame === 'heartbeat') continue;
    made.push(...compat.make(frame.events, messages.make(frame, 1_000).messages));
    compat.settle();
  }
  if (failures.length > 0) throw new Error(JSON.stringify(failures));
  return made;
}

function bodies(messages: readonly Message[], resource: CompatResource): string[] {
  return messages.filter(({ routingKey }) => routingKey === resource).map(({ body }) => body.toString());
}

t.test('each allocation message that the stream covers is byte for byte what nomad-firehose printed', async (t) => {
  const printed = await readPrinted('allocations');
  const made = await makeAll(['allocations']);

  const found = bodies(made, 'allocations').toSorted();

  t.equal(found.length, 1_204);
  t.equal(new Set(made.map(({ id }) => id)).size, 1_204, 'each has an id of its own');
  const isFound = new Set(found);
  t.strictSame(found, printed.filter((line) => isFound.has(line)).toSorted());
  t.equal(printed.length - found.length, 36, 'the rest is later than the stream');
});

t.test('the other resources differ from what nomad-firehose printed only in what docs/compat.md names', async (t) => {
  const made = await makeAll(compatResources);
  const cases: readonly {
    readonly resource: CompatResource;
    readonly printed: number;
    readonly equal: number;
    readonly made: number;
    readonly unlike: Record<string, number>;
  }[] = [
    { resource: 'nodes', printed: 4, equal: 4, made: 5, unlike: {} },
    { resource: 'deployments', printed: 9, equal: 9, made: 9, unlike: {} },
    { resource: 'jobs', printed: 88, equal: 88, made: 97, unlike: {} },
    { resource: 'evaluations', printed: 103, equal: 91, made: 236, unlike: { NextEval: 12 } },
  ];
  for (const { resource, ...expected } of cases) {
    const ours = bodies(made, resource);
    const covered = [...new Set(await readPrinted(resource))].filter(
      (line) => (JSON.parse(line) as Identified).ModifyIndex <= lastRecordedIndex,
    );
    const unlike: Record<string, number> = {};
    for (const line of covered.filter((printed) => !ours.includes(printed))) {
      const printed = JSON.parse(line) as Identified & Record<string, unknown>;
      const our = ours
        .map((body) => JSON.parse(body) as Identified & Record<string, unknown>)
        .find(({ ID, ModifyIndex }) => ID === printed.ID && ModifyIndex === printed.ModifyIndex);
      if (our === undefined) t.fail(`${resource} lacks ${line}`);
      else
        for (const field of Object.keys(printed))
          if (JSON.stringify(our[field]) !== JSON.stringify(printed[field])) unlike[field] = (unlike[field] ?? 0) + 1;
    }
    const equal = covered.filter((line) => ours.includes(line)).length;
    t.strictSame({ printed: covered.length, equal, made: ours.length, unlike }, expected, resource);
    t.equal(new Set(ours).size, ours.length, `${resource}: nothing is said twice`);
  }
});
