import { HydrantError } from '@hydrant/shared/foundation/errors';
import { eventually } from '@hydrant/testing/eventually';
import t from 'tap';
import { frame, job, start, whenEnded } from './healer-cases-contract.ts';

t.test('what changed since goes out, page by page, each list from where it is missed', async (t) => {
  const rig = start(t);
  rig.lists['Job'] = { index: 9, pages: [[job('a', 3), job('b', 5)], [job('c', 6)]] };
  rig.lists['Node'] = { index: 9, pages: [[job('n', 1)]] };

  rig.healer.heal(
    new Map([
      ['Job', 4],
      ['Node', 0],
    ]),
    10,
  );
  t.ok(rig.healer.isHealing);
  await whenEnded(rig);

  t.strictSame(rig.asked, ['Node 0', 'Job 0', 'Job 1']);
  t.strictSame(rig.out, ['Node//n 1', 'Job/default/b 5', 'Job/default/c 6']);
  t.strictSame(rig.told, [
    ['started', { Job: 4, Node: 0 }],
    ['ended', 3],
  ]);
  t.notOk(rig.healer.isHealing);
});

t.test('all topics are healed since the earliest that is asked for', async (t) => {
  const rig = start(t);
  rig.lists['Job'] = { index: 9, pages: [[job('a', 3), job('b', 5)]] };

  rig.healer.heal(
    new Map([
      ['*', 2],
      ['Job', 4],
    ]),
    10,
  );
  await whenEnded(rig);

  t.strictSame(rig.out, ['Job/default/a 3', 'Job/default/b 5']);
});

t.test('nothing to heal, and a healer that is stopped, do nothing', async (t) => {
  const rig = start(t);
  await rig.healer.stop();
  rig.healer.heal(new Map(), 10);
  t.notOk(rig.healer.isHealing);

  rig.healer.heal(new Map([['Job', 0]]), 10);
  await rig.healer.stop();

  t.notOk(rig.healer.isHealing);
  t.strictSame(rig.healer.frame(frame(11, 'a')), []);
  t.strictSame(rig.told, []);
});

t.test('a healing that turns out to be needless ends without a word, and the next one reads everything', async (t) => {
  const rig = start(t);
  rig.lists['Node'] = { index: 9, pages: [[job('n', 1)]] };
  rig.lists['Job'] = { index: 9, pages: [[job('a', 3)]] };
  let answer: () => void = () => undefined;
  rig.beforeAnswer = () =>
    new Promise((resolve) => {
      answer = resolve;
    });
  rig.healer.heal(
    new Map([
      ['Job', 0],
      ['Node', 0],
    ]),
    10,
  );
  await eventually(() => rig.asked.length === 1);

  rig.healer.cancel();
  answer();
  await eventually(() => !rig.healer.isHealing);

  t.strictSame(
    { asked: rig.asked, out: rig.out, told: rig.told },
    { asked: ['Node 0'], out: [], told: [['started', { Job: 0, Node: 0 }]] },
  );
  rig.beforeAnswer = () => undefined;
  rig.healer.cancel();
  rig.healer.heal(new Map([['Job', 0]]), 10);
  await whenEnded(rig);
  t.strictSame(rig.out, ['Job/default/a 3']);
});

t.test(
  'what was listed but had not gone out when a healing turned out to be needless is read again by the next one',
  async (t) => {
    const rig = start(t, { settleMs: 600_000 });
    rig.lists['Job'] = { index: 20, pages: [[job('old', 8), job('ahead', 15)]] };
    rig.healer.heal(new Map([['Job', 0]]), 10);
    await eventually(() => rig.out.length === 1);
    rig.healer.cancel();
    await eventually(() => !rig.healer.isHealing);
    rig.healer.heal(new Map([['Job', 9]]), 15);
    await whenEnded(rig, 2);
    t.strictSame(rig.out, ['Job/default/old 8', 'Job/default/ahead 15']);
  },
);

t.test('topics of which no list tells are named', async (t) => {
  const rig = start(t);

  rig.healer.heal(
    new Map([
      ['Service', 0],
      ['Operator', 0],
      ['Job', 0],
    ]),
    10,
  );
  await whenEnded(rig);

  t.strictSame(
    rig.told.filter(([what]) => what === 'unhealed'),
    [['unhealed', 'Service,Operator']],
  );
  t.strictSame(rig.asked, ['Job 0']);
});

t.test('lists are not read before the stream is open', async (t) => {
  const rig = start(t);
  rig.isReading = false;

  rig.healer.heal(new Map([['Job', 0]]), 10);
  await eventually(() => rig.looks >= 2);
  t.strictSame(rig.asked, []);
  rig.isReading = true;
  await whenEnded(rig);

  t.strictSame(rig.asked, ['Job 0']);
});

t.test('a list that fails is tried again, and told of once', async (t) => {
  const rig = start(t);
  rig.lists['Job'] = {
    index: 9,
    pages: [[job('a', 3)]],
    fails: new HydrantError('Expected 200', { code: 'nomad-refused', retryable: true }),
  };

  rig.healer.heal(new Map([['Job', 0]]), 10);
  await eventually(() => rig.asked.length >= 3);
  rig.lists['Job'] = { index: 9, pages: [[job('a', 3)]] };
  await whenEnded(rig);

  t.strictSame(rig.told.slice(1, 3), [
    ['failed', 'Job true'],
    ['failed', 'Job false'],
  ]);
  t.strictSame(rig.out, ['Job/default/a 3']);
});

t.test('a list that stays older than what was published means that objects went back', async (t) => {
  const rig = start(t, { olderMs: 20 });
  rig.restoreWatch.show(frame(950, 'web'));
  rig.lists['Job'] = { index: 700, pages: [[job('web', 650), job('old', 3)]] };
  rig.onRestore = () => {
    rig.healer.heal(new Map([['Job', 0]]), 960, true);
  };

  rig.healer.heal(new Map([['Job', 950]]), 960);
  await whenEnded(rig);

  t.strictSame(rig.told.filter(([what]) => what === 'restored').length, 1);
  t.strictSame(rig.out, ['Job/default/web 650', 'Job/default/old 3']);
});
