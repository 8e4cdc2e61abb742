import { createHash } from 'node:crypto';
import t from 'tap';
import { SnapshotMerge, type Listed } from './snapshot-merge.ts';

function at(identity: string, modifyIndex: number): Listed {
  return { identity, modifyIndex };
}

t.test('an object goes out once the stream is past its state, and not when a frame has shown it', (t) => {
  const merge = new SnapshotMerge(10);
  t.strictSame(merge.list([at('a', 4), at('b', 10), at('c', 11), at('d', 12)]), [at('a', 4), at('b', 10)]);
  t.equal(merge.pending, 2);
  merge.show(12, ['d']);
  t.strictSame(merge.before(12), [at('c', 11)], 'before the first newer frame');
  t.strictSame(merge.list([at('d', 12), at('d', 11), at('e', 12)]), [at('e', 12)], 'd was shown in that state');
  t.strictSame(merge.list([at('f', 20)]), []);
  t.strictSame(merge.rest(), [at('f', 20)]);
  t.strictSame(merge.list([at('g', 19)]), [at('g', 19)], 'the stream had nothing more up to there');
  t.end();
});

t.test('what did not get into the log comes again, unless a frame has shown it meanwhile', (t) => {
  const merge = new SnapshotMerge(0);
  merge.list([at('a', 5), at('b', 6)]);
  const due = merge.before(9);
  t.strictSame(due, [at('a', 5), at('b', 6)]);
  merge.show(9, ['b']);
  merge.putBack(due);
  t.strictSame(merge.rest(), [at('a', 5)]);
  t.end();
});

/** Numbers that repeat with the seed. */
function makeRandom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = createHash('sha256').update(String(state)).digest().readUInt32LE(0);
    return state % below;
  };
}

interface World {
  /** Objects by change: `history[index]` is the object that changed at that index. */
  readonly history: readonly number[];
  /** Frames that are silent: the object changed and the stream did not say so. */
  readonly silent: ReadonlySet<number>;
}

function makeWorld(random: (below: number) => number): World {
  const history = Array.from({ length: 200 }, () => random(30));
  return { history, silent: new Set(Array.from({ length: 10 }, () => random(history.length))) };
}

/** What the list shows of `objects` when the newest change was `now`. */
function listAt({ history }: World, objects: readonly number[], now: number): Listed[] {
  return objects.flatMap((object) => {
    const modifyIndex = history.lastIndexOf(object, now);
    return modifyIndex === -1 ? [] : [at(String(object), modifyIndex)];
  });
}

t.test('in any order of frames and pages no object goes back, and none is missing', (t) => {
  for (let seed = 1; seed <= 300; seed += 1) {
    const random = makeRandom(seed);
    const world = makeWorld(random);
    const checkpoint = random(100);
    const firstFrame = checkpoint + 1 + random(60);
    const out: (readonly [string, number])[] = [];
    const send = (listed: readonly Listed[]): void => {
      out.push(...listed.map(({ identity, modifyIndex }) => [identity, modifyIndex] as const));
    };
    const merge = new SnapshotMerge(checkpoint);
    const pages = Array.from({ length: 6 }, (_, page) => Array.from({ length: 5 }, (_, n) => page * 5 + n));
    let now = firstFrame;
    let page = 0;
    for (let frame = firstFrame; frame < world.history.length; frame += 1) {
      while (page < pages.length && random(8) === 0) {
        now = Math.max(now, frame - 5) + random(10);
        send(merge.list(listAt(world, pages[page] ?? [], now).filter(({ modifyIndex }) => modifyIndex > checkpoint)));
        page += 1;
      }
      if (world.silent.has(frame)) continue;
      send(merge.before(frame));
      const object = String(world.history[frame]);
      merge.show(frame, [object]);
      out.push([object, frame]);
    }
    for (; page < pages.length; page += 1)
      send(
        merge.list(
          listAt(world, pages[page] ?? [], world.history.length).filter(({ modifyIndex }) => modifyIndex > checkpoint),
        ),
      );
    send(merge.rest());

    const newest = new Map<string, number>();
    for (const [object, index] of out) {
      if (index <= (newest.get(object) ?? -1))
        t.fail(`seed ${seed}: ${object} goes from ${newest.get(object)} to ${index}`);
      newest.set(object, index);
    }
    for (const object of pages.flat()) {
      const missed = world.history.lastIndexOf(object, firstFrame - 1);
      if (missed > checkpoint && (newest.get(String(object)) ?? -1) < missed)
        t.fail(`seed ${seed}: ${object} at ${missed} is missing`);
    }
  }
  t.pass('300 worlds');
  t.end();
});
