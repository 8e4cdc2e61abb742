/** Events of one topic of the recording, as JSON bodies. */
import { readFile } from 'node:fs/promises';
import { gunzipSync } from 'node:zlib';

interface RecordedFrame {
  readonly Events?: readonly { readonly Topic: string }[];
}

export async function readRecordedEvents(topic: string): Promise<readonly Buffer[]> {
  const packed = await readFile(new URL('../../fixtures/crashing-cluster/stream.ndjson.gz', import.meta.url));
  const lines = gunzipSync(packed).toString('utf8').trimEnd().split('\n');
  const events = lines.flatMap((line) => (JSON.parse(line) as RecordedFrame).Events ?? []);
  return events.filter((event) => event.Topic === topic).map((event) => Buffer.from(JSON.stringify(event)));
}
