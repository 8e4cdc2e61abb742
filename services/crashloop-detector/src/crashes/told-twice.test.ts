import { forEachElement, forEachMember } from '@hydrant/shared/foundation/json-scanner';
import { makeEventMessage } from '@hydrant/shared/messages/event-message';
import type { Message } from '@hydrant/shared/messages/message';
import { readEventHead } from '@hydrant/shared/messages/nomad-event';
import { readRecording, readRecordingFile } from '@hydrant/testing/recordings';
import t from 'tap';
import { readObservations } from '../read-observations.ts';
import { ToldTwice } from './told-twice.ts';

/** What a firehose publishes of the recording's allocations. */
async function readEvents(cluster: string): Promise<readonly Message[]> {
  const messages: Message[] = [];
  for (const line of await readRecording('nomad-firehose-parity')) {
    forEachMember(line, 0, (member, at) => {
      if (member !== 'Events') return;
      forEachElement(line, at, (from, to) => {
        const body = line.subarray(from, to);
        const { topic, type, index } = readEventHead(body, 0, body.length);
        if (topic !== 'Allocation') return;
        messages.push(
          makeEventMessage({
            cluster,
            region: 'global',
            index,
            origin: 'stream',
            timestampMs: 0,
            id: 'e',
            routingKey: 'event.Allocation',
            topic,
            type,
            body,
          }),
        );
      });
    });
  }
  return messages;
}

/** What a real nomad-firehose published beside it. */
async function readFormer(): Promise<readonly Message[]> {
  const lines = (await readRecordingFile('nomad-firehose-parity', 'allocations.out.ndjson.gz'))
    .toString('utf8')
    .trim()
    .split('\n');
  return lines.map((line) => ({
    id: '',
    routingKey: 'allocations',
    type: '',
    contentType: 'application/json',
    appId: '',
    timestampMs: 0,
    headers: {},
    body: Buffer.from(line),
  }));
}

/** How often it is news that crashes come twice. */
function countNews(messages: readonly Message[]): number {
  const toldTwice = new ToldTwice();
  let news = 0;
  for (const message of messages) {
    const input = readObservations(message, 'lineage');
    if (input.kind === 'crash' && toldTwice.isNews(message.type, input.observations)) news += 1;
  }
  return news;
}

function interleave(some: readonly Message[], others: readonly Message[]): readonly Message[] {
  return Array.from({ length: Math.max(some.length, others.length) }, (_, at) => [some[at], others[at]])
    .flat()
    .filter((message) => message !== undefined);
}

t.test('a queue with events and with messages of the same crashes is noticed once, in any cluster', async (t) => {
  for (const cluster of ['default', 'eu']) {
    t.equal(countNews(interleave(await readEvents(cluster), await readFormer())), 1);
    t.equal(countNews(interleave(await readFormer(), await readEvents(cluster))), 1);
  }
});

t.test('either kind alone, and one that follows upon the other, is not', async (t) => {
  const [events, former] = [await readEvents('default'), await readFormer()];
  const half = former.length / 2;

  t.equal(countNews(events), 0);
  t.equal(countNews(former), 0);
  t.equal(
    countNews([...former.slice(0, 1), ...(await readEvents('default')).slice(-half)]),
    0,
    'what still waited at the change',
  );
});
