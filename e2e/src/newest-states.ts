/** What the recording leaves behind: by object, the index of its last event; without what was deleted. */
import { readEventHead } from '@hydrant/shared/messages/nomad-event';
import { readRecording } from '@hydrant/testing/recordings';

const topics = ['Allocation', 'Deployment', 'Evaluation', 'Job'];

interface RecordedEvent {
  readonly Payload: { readonly Deleted?: boolean };
}

/** Without nodes, whose index stays when an update of allocations changes them. */
export async function newestStates(): Promise<ReadonlyMap<string, number>> {
  const states = new Map<string, number>();
  for (const line of await readRecording('crashing-cluster')) {
    const { Events: events = [] } = JSON.parse(line.toString('utf8')) as { readonly Events?: readonly RecordedEvent[] };
    for (const event of events) {
      const bytes = Buffer.from(JSON.stringify(event));
      const { topic, namespace, key, index } = readEventHead(bytes, 0, bytes.length);
      const identity = `${topic}/${namespace}/${key}`;
      if (event.Payload.Deleted === true) states.delete(identity);
      else if (topics.includes(topic)) states.set(identity, index);
    }
  }
  return states;
}
