/**
 * Playing a recording: its pace, its rounds, and what rewriting changes and leaves alone.
 */
import type { Clock } from '@hydrant/shared/foundation/clock';
import t from 'tap';
import { EventBuffer } from './event-buffer.ts';
import type { Frame } from './frame.ts';
import { Player, type PlayerOptions } from './player.ts';
import { loadRecording, type Recording } from './recording.ts';
import { newestTimeNs, rewriteBytes, type Rewrite } from './rewrite.ts';

const NS_PER_MS = 1_000_000n;
interface ManualClock extends Clock {
  /** Lets this much time pass, in steps of a millisecond. */
  advance(ms: number): void;
}

function createManualClock(): ManualClock {
  const timers = new Map<object, { readonly at: number; readonly action: () => void }>();
  let elapsed = 0;
  return {
    now: () => 1_800_000_000_000 + elapsed,
    monotonic: () => elapsed,
    sleep: () => Promise.reject(new Error('Expected the player not to sleep')),
    every: () => ({ cancel: () => undefined }),
    after(ms, action) {
      const timer = {
        cancel: () => {
          timers.delete(timer);
        },
      };
      timers.set(timer, { at: elapsed + ms, action });
      return timer;
    },
    advance(ms) {
      for (const end = elapsed + ms; elapsed < end; elapsed += 1) {
        for (const [timer, { at, action }] of [...timers]) {
          if (at > elapsed || !timers.delete(timer)) continue;
          action();
        }
      }
    },
  };
}

const NONE: Rewrite = { shiftNs: 0n, indexOffset: 0, idSeed: 0, keptIds: new Set() };

function createPlayer(
  recording: Recording,
  options: Partial<PlayerOptions>,
): { player: Player; clock: ManualClock; frames: () => readonly Frame[] } {
  const clock = createManualClock();
  const buffer = new EventBuffer(100_000);
  const start = buffer.placeBefore(0);
  const player = new Player(
    { recording, buffer, clock, onFinished: () => undefined },
    { speed: 'instant', rounds: 1, shiftToNow: false, paused: false, ...options },
  );
  const frames = (): readonly Frame[] => {
    const seen: Frame[] = [];
    for (let next = buffer.after(start); typeof next !== 'string'; next = buffer.after(next)) {
      if (next.frame !== undefined) seen.push(next.frame);
    }
    return seen;
  };
  return { player, clock, frames };
}

function rewrite(text: string, change: Partial<Rewrite>): string {
  return rewriteBytes(Buffer.from(text), { ...NONE, ...change }).toString();
}

t.test('rewriting times changes times only', (t) => {
  const hour = 3_600_000_000_000n;
  const cases = [
    ['{"Time":1795231697351342603}', '{"Time":1795235297351342603}'],
    [
      '{"CreateTime":1795231697351342603,"ModifyTime":1795231697351342604,"SubmitTime":0}',
      '{"CreateTime":1795235297351342603,"ModifyTime":1795235297351342604,"SubmitTime":0}',
    ],
    ['{"StartedAt":"2026-11-21T03:29:27.609825504Z"}', '{"StartedAt":"2026-11-21T04:29:27.609825504Z"}'],
    ['{"FinishedAt":"2026-11-21T23:29:27.6Z"}', '{"FinishedAt":"2026-11-22T00:29:27.6Z"}'],
    ['{"LastRestart":"2026-11-21T03:29:27Z"}', '{"LastRestart":"2026-11-21T04:29:27Z"}'],
    ['{"UpdateTime":"2026-11-21T03:29:27.000000001+02:00"}', '{"UpdateTime":"2026-11-21T04:29:27.000000001+02:00"}'],
    ['{"StartedAt":"0001-01-01T00:00:00Z"}', '{"StartedAt":"0001-01-01T00:00:00Z"}'],
    [
      '{"Message":"\\"Time\\":1795231697351342603","KillTimeout":1795231697351342603}',
      '{"Message":"\\"Time\\":1795231697351342603","KillTimeout":1795231697351342603}',
    ],
    ['{"Index":12,"Key":"ü 2026-11-21T03:29:27Z"}', '{"Index":12,"Key":"ü 2026-11-21T03:29:27Z"}'],
  ] as const;

  for (const [from, to] of cases) {
    t.equal(rewrite(from, { shiftNs: hour }), to);
    t.equal(rewrite(to, { shiftNs: -hour }), from);
  }
  t.equal(
    rewrite('{"StartedAt":"2026-11-21T03:29:27.5Z"}', { shiftNs: 500_000_000n }),
    '{"StartedAt":"2026-11-21T03:29:28Z"}',
  );
  t.end();
});

t.test('rewriting indexes and ids leaves zero and kept ids alone', (t) => {
  const id = '4eb5a9ac-9a9f-9a68-fc25-eba6c83a0d99';
  const fresh = rewrite(id, { idSeed: 1 });

  t.equal(
    rewrite('{"Index":7,"ModifyIndex":7,"SnapshotIndex":0,"Restarts":3}', { indexOffset: 100 }),
    '{"Index":107,"ModifyIndex":107,"SnapshotIndex":0,"Restarts":3}',
  );
  t.match(fresh, /^[0-9a-f]{8}-9a9f-9a68-fc25-eba6c83a0d99$/);
  t.not(fresh, id);
  t.not(fresh, rewrite(id, { idSeed: 2 }));
  t.equal(rewrite(id, { idSeed: 1, keptIds: new Set([id]) }), id);
  t.end();
});

t.test('a recording is read with its arrival times, or with the times of its events', async (t) => {
  const recorded = await loadRecording('crashing-cluster');
  const derived = await loadRecording('nomad-firehose-parity');

  t.equal(recorded.frames.length, 363);
  t.equal(recorded.durationMs, 71_167);
  t.equal(recorded.newestIndex, 355);
  t.ok(derived.durationMs > 60_000 && derived.durationMs < 80_000, `${String(derived.durationMs)} ms`);
  t.ok(derived.frames.every((frame, position) => frame.arrivalMs >= (derived.frames[position - 1]?.arrivalMs ?? 0)));
  await t.rejects(loadRecording('nothing'), {
    code: 'recording-missing',
    message: /got `nothing`; use one of burst, crashing-cluster, nomad-firehose-parity/,
  });
});

t.test('all at once, the buffer holds the recording', async (t) => {
  const recording = await loadRecording('crashing-cluster');
  const { player, frames } = createPlayer(recording, {});

  player.start();

  t.strictSame(
    frames().map((frame) => frame.line),
    recording.frames.map((frame) => frame.line),
  );
  t.match(player.state, { frames: 363, events: 885, finished: true });
});

t.test('at a speed, frames come in their order and time, and none in a pause', async (t) => {
  const recording = await loadRecording('crashing-cluster');
  const { player, clock, frames } = createPlayer(recording, { speed: 20 });
  const arrivedBy = (recordedMs: number): number =>
    recording.frames.filter((frame) => frame.arrivalMs <= recordedMs).length;

  player.start();
  t.equal(player.state.frames, arrivedBy(0));
  clock.advance(1001);
  t.equal(player.state.frames, arrivedBy(20_000));

  player.pause();
  clock.advance(5000);
  t.equal(player.state.frames, arrivedBy(20_000));
  t.match(player.state, { paused: true, finished: false });

  player.resume();
  clock.advance(1001);
  t.ok(player.state.frames >= arrivedBy(40_000) && player.state.frames <= arrivedBy(40_100));
  clock.advance(2000);
  t.ok(player.state.finished);
  t.strictSame(
    frames().map((frame) => frame.line),
    recording.frames.map((frame) => frame.line),
  );
});

t.test('later rounds have higher indexes and other ids, but the same nodes', async (t) => {
  const recording = await loadRecording('crashing-cluster');
  const { player, clock, frames } = createPlayer(recording, { speed: 100, rounds: 3 });

  player.start();
  clock.advance(3 * (712 + 10) + 10);

  t.ok(player.state.finished);

  const rounds = [0, 1, 2].map((round) => frames().slice(round * 363, (round + 1) * 363));
  const keys = rounds.map(
    (round) =>
      new Set(
        round.flatMap((frame) =>
          frame.events.filter((event) => event.topic === 'Allocation').map((event) => event.key),
        ),
      ),
  );
  const nodes = new Set(
    frames().flatMap((frame) => frame.events.filter((event) => event.topic === 'Node').map((event) => event.key)),
  );
  t.strictSame(
    rounds[0]?.map((frame) => frame.line),
    recording.frames.map((frame) => frame.line),
    'the first round is the recording',
  );
  t.strictSame(
    rounds[2]?.map((frame) => frame.index),
    recording.frames.map((frame) => frame.index + 2 * 355),
  );
  t.equal(new Set(keys.flatMap((round) => [...round])).size, 3 * (keys[0]?.size ?? 0));
  t.equal(nodes.size, 1);
  t.ok(frames().every((frame) => (JSON.parse(frame.line.toString()) as { Index: number }).Index === frame.index));
});

t.test('shifted to now, the end of the recording is when its last frame is played', async (t) => {
  const recording = await loadRecording('crashing-cluster');
  const { player, clock, frames } = createPlayer(recording, { shiftToNow: true, speed: 100 });
  const endOfPlay = BigInt(Math.round((clock.now() + recording.durationMs / 100) * 1000)) * 1000n;

  player.start();
  clock.advance(720);

  const newest = frames()
    .map((frame) => newestTimeNs(frame.line))
    .reduce((left, right) => (left > right ? left : right));
  t.ok(newest - endOfPlay < NS_PER_MS && endOfPlay - newest < NS_PER_MS);
  const first = frames()[200];
  const recorded = recording.frames[200];
  if (first === undefined || recorded === undefined) throw new Error('Expected 200 frames');
  t.equal(newestTimeNs(first.line) - newestTimeNs(recorded.line), newest - recording.endNs, 'distances stay');
  t.equal(
    rewriteBytes(first.line, { ...NONE, shiftNs: recording.endNs - newest }).toString(),
    recorded.line.toString(),
    'and nothing but times has changed',
  );
});

t.test('restarting begins with the first indexes', async (t) => {
  const recording = await loadRecording('crashing-cluster');
  const { player, frames } = createPlayer(recording, {});

  player.start();
  player.restart();

  t.strictSame(
    frames().map((frame) => frame.index),
    [...recording.frames, ...recording.frames].map((frame) => frame.index),
  );
});
