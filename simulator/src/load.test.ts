/**
 * Load made from a recording: fresh ids, rising indexes, its rate, and readers that are not outrun.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { systemClock } from '@hydrant/shared/foundation/clock';
import { eventually } from '@hydrant/testing/eventually';
import t, { type Test } from 'tap';
import { EventBuffer } from './event-buffer.ts';
import { LoadGenerator } from './load-generator.ts';
import { makeLoadFrame, makeLoadTemplates } from './load-templates.ts';
import type { SimulatorOptions } from './options.ts';
import { openRaw } from './raw-client.ts';
import { loadRecording } from './recording.ts';
import type { Rewrite } from './rewrite.ts';
import { startSimulator, type Simulator } from './simulator.ts';

const STREAM = '/v1/event/stream?namespace=*&topic=Allocation';
const IDENTITY: Rewrite = { shiftNs: 0n, indexOffset: 0, idSeed: 0, keptIds: new Set() };
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

interface LoadedEvent {
  readonly Topic: string;
  readonly Key: string;
  readonly Index: number;
  readonly Payload: {
    readonly Allocation: { readonly ID: string; readonly ModifyIndex: number; readonly CreateIndex: number };
  };
}

interface LoadedFrame {
  readonly Index: number;
  readonly Events: readonly LoadedEvent[];
}

async function start(t: Test, options: SimulatorOptions): Promise<Simulator> {
  const simulator = await startSimulator(options);
  t.teardown(() => simulator.close());
  return simulator;
}

function parse(line: string): LoadedFrame {
  return JSON.parse(line) as LoadedFrame;
}

t.test('a calm load tells of no crash but in its share of events', async (t) => {
  const { frames } = await loadRecording('crashing-cluster');
  const templates = makeLoadTemplates(frames, IDENTITY, 4);

  const events = makeLoadFrame(templates, {
    index: 4321,
    firstEvent: 200,
    events: 200,
    crashPercent: 10,
    runId: Buffer.from('abcdef01'),
  });

  const text = events.events.map((event) => events.line.toString('utf8', event.start, event.end));
  t.equal(text.slice(10, 100).filter((event) => event.includes('Restarting"')).length, 0);
  t.ok(
    text
      .slice(0, 10)
      .concat(text.slice(100, 110))
      .some((event) => event.includes('Restarting"')),
  );
});

t.test('made frames are whole, and their events’ places are right', async (t) => {
  const { frames } = await loadRecording('crashing-cluster');
  const templates = makeLoadTemplates(frames, IDENTITY, 4);

  const frame = makeLoadFrame(templates, {
    index: 4321,
    firstEvent: 400,
    events: 7,
    crashPercent: 100,
    runId: Buffer.from('abcdef01'),
  });

  const parsed = parse(frame.line.toString());
  t.equal(templates.asRecorded.length, 403, 'one for each allocation event of the recording');
  t.equal(parsed.Index, 4321);
  t.equal(parsed.Events.length, 7);
  for (const [position, event] of frame.events.entries()) {
    const own = JSON.parse(frame.line.toString('utf8', event.start, event.end)) as LoadedEvent;
    t.strictSame(own, parsed.Events[position]);
    t.equal(own.Key, event.key);
    t.equal(own.Payload.Allocation.ID, event.key);
    t.match(own.Key, new RegExp(`^abcdef01-.*${(400 + position).toString(16).padStart(12, '0')}$`));
    t.equal(own.Index, 4321);
    t.equal(own.Payload.Allocation.ModifyIndex, 4321);
    t.ok(own.Payload.Allocation.CreateIndex < 4321);
  }
});

t.test('a size that was asked for is that of every event, with its id and index in place', async (t) => {
  const { frames } = await loadRecording('crashing-cluster');
  const templates = makeLoadTemplates(frames, IDENTITY, 4, 20_000);

  const frame = makeLoadFrame(templates, {
    index: 4321,
    firstEvent: 0,
    events: 403,
    crashPercent: 1,
    runId: Buffer.from('abcdef01'),
  });

  for (const { start, end, key } of frame.events) {
    // An index of more or fewer digits than the recorded one stands in a few places.
    t.ok(Math.abs(end - start - 20_000) < 100);
    const event = JSON.parse(frame.line.toString('utf8', start, end)) as LoadedEvent;
    t.equal(event.Payload.Allocation.ID, key);
    t.equal(event.Payload.Allocation.ModifyIndex, 4321);
  }
});

for (const writes of ['apart', 'joined'] as const) {
  t.test(`as fast as it is read, with writes ${writes}, nothing is lost on any reader`, async (t) => {
    const simulator = await start(t, {
      bufferSize: 20,
      writes,
      load: { total: 3003, eventsPerFrame: 4 },
      paused: true,
    });
    const readers = [openRaw(simulator.port, STREAM), openRaw(simulator.port, STREAM)];
    await Promise.all(readers.map((reader) => reader.lines(1)));

    simulator.control.resume();
    const [left = [], right = []] = await Promise.all(
      readers.map(async (reader) => (await reader.frames(751)).map(parse)),
    );
    await simulator.finished;

    const keys = left.flatMap((frame) => frame.Events.map((event) => event.Key));
    t.equal(keys.length, 3003);
    t.equal(new Set(keys).size, 3003, 'every id is another');
    t.ok(keys.every((key) => UUID.test(key)));
    t.strictSame(
      left.map((frame) => frame.Index),
      Array.from({ length: 751 }, (_, position) => 356 + position),
      'over the step from three to four digits',
    );
    t.strictSame(
      right.map((frame) => frame.Index),
      left.map((frame) => frame.Index),
    );
    t.match(simulator.state, { frames: 751, events: 3003, finished: true });
  });
}

t.test('load waits for the slowest reader', async (t) => {
  const recording = await loadRecording('crashing-cluster');
  const buffer = new EventBuffer(10);
  let readersAtEnd = false;
  const generator = new LoadGenerator(
    {
      recording,
      buffer,
      clock: systemClock,
      rewrite: IDENTITY,
      readersAtEnd: () => readersAtEnd,
      onFinished: () => undefined,
    },
    {},
    false,
  );

  generator.start();
  await nextTurn();
  t.equal(generator.state.frames, 0);

  readersAtEnd = true;
  generator.readerIsAtEnd();
  generator.readerIsAtEnd();
  await nextTurn();
  t.equal(generator.state.frames, 5, 'once, and no more than half of what the buffer holds');

  generator.pause();
  generator.readerIsAtEnd();
  await nextTurn();
  t.equal(generator.state.frames, 5);
});

t.test('without readers, load waits for one', async (t) => {
  const simulator = await start(t, { bufferSize: 10, load: { total: 50 } });
  t.equal(simulator.state.events, 0);

  const frames = await openRaw(simulator.port, STREAM).frames(50);

  t.equal(parse(frames[0] ?? '').Index, 356);
});

t.test('at a rate, load comes whether or not it is read', async (t) => {
  const simulator = await start(t, { load: { eventsPerSecond: 5000, total: 500 } });

  await eventually(() => simulator.state.finished);

  t.equal(simulator.state.newestIndex, 355 + 500);
  t.equal((await openRaw(simulator.port, STREAM).frames(500)).length, 500);
});

t.test('load shifted to now carries times of now', async (t) => {
  const simulator = await start(t, { shiftToNow: true, load: { total: 1 } });

  const [line = ''] = await openRaw(simulator.port, STREAM).frames(1);

  const time = Number(/"ModifyTime":(\d+)/.exec(line)?.[1]) / 1e6;
  t.ok(Math.abs(systemClock.now() - time) < 120_000);
});

t.test(
  'with a number of allocations their ids come again with newer indexes, and an observer sees it all',
  async (t) => {
    const made: number[] = [];
    const opened: { readonly index: number; readonly oldestIndex: number | undefined }[] = [];
    const observer = {
      frameMade({ index }: { readonly index: number }) {
        made.push(index);
      },
      streamOpened(stream: (typeof opened)[number]) {
        opened.push(stream);
      },
    };
    const simulator = await start(t, { load: { eventsPerSecond: 5000, total: 25, allocations: 10 }, observer });
    await simulator.finished;

    const events = (await openRaw(simulator.port, `${STREAM}&index=360`).frames(21)).map(parse);

    const keys = events.map(({ Events: [event] }) => event?.Key);
    t.equal(new Set(keys).size, 10);
    t.strictSame(keys.slice(10, 20), keys.slice(0, 10));
    t.ok(events.every(({ Index, Events: [event] }) => event?.Payload.Allocation.ModifyIndex === Index));
    t.strictSame(
      made,
      Array.from({ length: 25 }, (_, position) => 356 + position),
    );
    t.strictSame(opened, [{ index: 360, oldestIndex: 356 }]);
  },
);
