import t from 'tap';
import { readFrame } from './frame.ts';
import { loadRecording } from './recording.ts';
import { resizeEvent } from './resize-event.ts';

interface Resized {
  readonly Topic: string;
  readonly Key: string;
  readonly Payload: { readonly Allocation: Readonly<Record<string, unknown>> };
}

async function recordedEvents(): Promise<readonly string[]> {
  const { frames } = await loadRecording('crashing-cluster');
  return frames.flatMap((recorded) => {
    const frame = readFrame(recorded.line);
    return (frame?.events ?? [])
      .filter(({ topic }) => topic === 'Allocation')
      .map(({ start, end }) => recorded.line.toString('latin1', start, end));
  });
}

for (const bytes of [1200, 6000, 100_000]) {
  t.test(
    `every allocation event of the recording can be made ${bytes} bytes long and stays the same allocation's`,
    async (t) => {
      const events = await recordedEvents();
      t.ok(events.length > 100);
      for (const event of events) {
        const [before, after] = [JSON.parse(event) as Resized, JSON.parse(resizeEvent(event, bytes)) as Resized];
        t.equal(resizeEvent(event, bytes).length, bytes);
        t.equal(after.Key, before.Key);
        for (const name of ['ID', 'JobID', 'Namespace', 'ClientStatus', 'ModifyIndex', 'ModifyTime'])
          t.strictSame(after.Payload.Allocation[name], before.Payload.Allocation[name]);
      }
    },
  );
}

t.test('what says which allocation it is stays, however small the event is to be', async (t) => {
  const [event = ''] = await recordedEvents();
  const small = JSON.parse(resizeEvent(event, 1)) as Resized;
  t.equal(small.Payload.Allocation['ID'], small.Key);
  t.equal(small.Payload.Allocation['ClientDescription'], '');
});
