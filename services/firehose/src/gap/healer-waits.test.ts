import { eventually } from '@hydrant/testing/eventually';
import t from 'tap';
import { Healer } from './healer.ts';
import { describe, frame, job, start, whenEnded } from './healer-cases-contract.ts';

t.test('what is listed ahead of the stream waits for its frames', async (t) => {
  const rig = start(t, { settleMs: 600_000 });
  rig.lists['Job'] = { index: 20, pages: [[job('old', 8), job('shown', 15), job('silent', 16), job('newer', 17)]] };
  rig.healer.heal(new Map([['Job', 0]]), 10);
  await eventually(() => rig.out.length === 1);

  t.strictSame(rig.healer.frame(frame(15, 'shown')), [], 'what a frame shows does not go out');
  const due = rig.healer.frame(frame(18, 'newer'));
  t.strictSame(describe(due), ['Job/default/silent 16', 'Job/default/newer 17'], 'before the frame that is newer');
  rig.healer.putBack(due);
  t.ok(rig.healer.isHealing, 'what was given did not get into the log');
  const again = rig.healer.frame(frame(21, 'other'));
  t.strictSame(describe(again), ['Job/default/silent 16'], 'but for what a frame has shown meanwhile');
  t.ok(rig.healer.isHealing);
  rig.healer.kept(again);
  await whenEnded(rig);

  t.strictSame(rig.out, ['Job/default/old 8'], 'nothing went out a second time');
  t.strictSame(rig.told.at(-1), ['ended', 2]);
});

t.test('frames that do not pass count when they are made known', async (t) => {
  const rig = start(t, { settleMs: 600_000 });
  rig.lists['Job'] = { index: 20, pages: [[job('a', 15)]] };
  rig.healer.known(5);
  rig.healer.heal(new Map([['Job', 0]]), 10);
  rig.healer.known(15);
  await whenEnded(rig);

  t.strictSame(rig.out, ['Job/default/a 15']);
});

t.test('what no frame shows goes out when the stream is quiet, not while it is closed', async (t) => {
  const rig = start(t);
  rig.lists['Job'] = { index: 20, pages: [[job('a', 15)]] };
  rig.beforeAnswer = () => {
    rig.isReading = false;
  };
  rig.healer.heal(new Map([['Job', 0]]), 10);
  await eventually(() => rig.asked.length === 1);
  const looks = rig.looks;
  await eventually(() => rig.looks >= looks + 5);
  t.strictSame(rig.out, [], 'the stream may show it yet');

  rig.isReading = true;
  await whenEnded(rig);

  t.strictSame(rig.out, ['Job/default/a 15']);
});

t.test('a log that takes nothing loses nothing', async (t) => {
  const rig = start(t);
  rig.lists['Job'] = { index: 20, pages: [[job('a', 15)]] };
  let tries = 0;
  Object.defineProperty(rig, 'appendFails', { get: () => (tries += 1) < 3 });

  rig.healer.heal(new Map([['Job', 0]]), 10);
  await whenEnded(rig);

  t.ok(tries >= 3);
  t.strictSame(rig.out, ['Job/default/a 15']);
  t.strictSame(rig.told.at(-1), ['ended', 1]);
});

t.test('a list that is longer than may wait lets the stream catch up in between', async (t) => {
  const rig = start(t);
  const many = Array.from({ length: 5_001 }, (_, n) => job(`job-${String(n)}`, 100 + n));
  rig.lists['Job'] = { index: 9_000, pages: [many, [job('last', 9_000)]] };
  const outAtSecondPage: number[] = [];
  rig.beforeAnswer = () => {
    outAtSecondPage.push(rig.out.length);
  };

  rig.healer.heal(new Map([['Job', 0]]), 10);
  await whenEnded(rig);

  t.strictSame(outAtSecondPage, [0, 5_001]);
  t.equal(rig.out.length, 5_002);
});

t.test('the checkpoint moves when what was missed is confirmed, too', async (t) => {
  const rig = start(t);
  rig.lists['Job'] = { index: 9, pages: [[job('a', 3), job('b', 4)]] };
  t.ok(rig.healer.mayMoveCheckpoint(0));

  rig.healer.heal(new Map([['Job', 0]]), 10);
  t.notOk(rig.healer.mayMoveCheckpoint(100));
  await whenEnded(rig);

  t.notOk(rig.healer.mayMoveCheckpoint(1));
  t.ok(rig.healer.mayMoveCheckpoint(2));
});

t.test('a gap that is found meanwhile is healed with the first, since the earlier', async (t) => {
  const rig = start(t);
  rig.lists['Job'] = { index: 9, pages: [[job('a', 3), job('b', 8)]] };
  rig.lists['Node'] = { index: 9, pages: [[job('n', 2)]] };
  let isFirst = true;
  rig.beforeAnswer = (topic) => {
    if (topic === 'Job' && isFirst)
      rig.healer.heal(
        new Map([
          ['Job', 2],
          ['Node', 5],
        ]),
        12,
      );
    if (topic === 'Job') isFirst = false;
  };

  rig.healer.heal(
    new Map([
      ['Job', 5],
      ['Node', 1],
    ]),
    10,
  );
  await whenEnded(rig);

  t.strictSame(rig.told, [
    ['started', { Job: 5, Node: 1 }],
    ['started', { Job: 2, Node: 1 }],
    ['ended', 3],
  ]);
  t.strictSame(
    rig.out,
    ['Node//n 2', 'Job/default/a 3', 'Job/default/b 8'],
    'nothing twice: what was read of the first list has not changed',
  );
});

t.test('the same gap again reads a list only as far as to see that nothing has changed', async (t) => {
  const rig = start(t);
  rig.lists['Job'] = { index: 9, pages: [[job('a', 3)], [job('b', 5)]] };
  const everything = new Map([['Job', 0]]);
  rig.healer.heal(everything, 10);
  await whenEnded(rig);

  rig.healer.heal(everything, 10);
  await whenEnded(rig, 2);
  t.strictSame(rig.asked, ['Job 0', 'Job 1', 'Job 0']);
  t.strictSame(rig.told.at(-1), ['ended', 0]);

  rig.lists['Job'] = { index: 12, pages: [[job('a', 3)], [job('b', 12)]] };
  rig.healer.heal(everything, 10);
  await whenEnded(rig, 3);
  t.strictSame(
    rig.out.slice(2).filter((line) => line.includes('/b ')),
    ['Job/default/b 12'],
    'a change is seen',
  );
});

t.test('a list is read to its end whenever it may hold something else than before', async (t) => {
  const cases: readonly (readonly [string, number, Parameters<Healer['heal']>, number])[] = [
    ['the indexes began anew', 9, [new Map([['Job', 0]]), 0], 9],
    ['the earlier reading began later', 9, [new Map([['Job', 2]]), 10], 9],
    ['it was set back', 9, [new Map([['Job', 4]]), 10], 7],
    ['Nomad does not say its index', 0, [new Map([['Job', 4]]), 10], 0],
  ];
  for (const [name, firstIndex, again, index] of cases) {
    const rig = start(t);
    rig.lists['Job'] = { index: firstIndex, pages: [[job('a', 5)], [job('b', 6)]] };
    rig.healer.heal(new Map([['Job', 4]]), 10);
    await whenEnded(rig);
    rig.lists['Job'].index = index;

    rig.healer.heal(...again);
    await whenEnded(rig, 2);

    t.strictSame(rig.asked, ['Job 0', 'Job 1', 'Job 0', 'Job 1'], name);
  }
});

t.test('frames of indexes that began anew are not taken for those before', async (t) => {
  const rig = start(t);
  rig.lists['Job'] = { index: 900, pages: [[job('a', 900)]] };
  // Nothing listed goes out as long as the stream is not open.
  rig.beforeAnswer = () => {
    rig.isReading = false;
  };
  rig.healer.heal(new Map([['Job', 0]]), 800);
  await eventually(() => rig.asked.length === 1);
  rig.healer.frame(frame(850, 'b'));
  rig.lists['Job'] = { index: 3, pages: [[job('b', 3)]] };
  rig.beforeAnswer = () => undefined;

  rig.healer.heal(new Map([['Job', 0]]), 0);
  rig.isReading = true;
  await whenEnded(rig);

  t.strictSame(rig.out, ['Job/default/b 3']);
});

t.test('stopping ends a healing that waits', async (t) => {
  const rig = start(t);
  rig.isReading = false;
  rig.healer.heal(new Map([['Job', 0]]), 10);

  await rig.healer.stop();

  t.ok(rig.healer.isHealing, 'the checkpoint stays');
  t.strictSame(rig.told, [['started', { Job: 0 }]]);
});
