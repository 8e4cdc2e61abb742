/** The part of the ledger's contract about loops that are open, and about their ends. */
import {
  claimOf,
  minute,
  observation,
  reasons,
  restart,
  rule,
  shown,
  start,
  type Behaviour,
  type TimedLedger,
} from './ledger-cases-contract.ts';
import type { Claim, ResolvedClaim, Rule } from './ledger.ts';

const brief: Rule = { ...rule, intervalMs: 200 };
const ms = 1 / 60_000;
const three = [restart(1, 0), restart(2, ms), restart(3, 2 * ms)];

async function openLoop(ledger: TimedLedger, by: Rule = rule): Promise<Claim> {
  const claim = claimOf(await ledger.record(observation('e1', three), by));
  await ledger.confirm(claim);
  return claim;
}

function whenEnded(ledger: TimedLedger, { intervalMs }: Rule): Promise<readonly ResolvedClaim[]> {
  ledger.clock.pass(intervalMs + 1);
  return ledger.takeResolved(10);
}

export const endedLoops: Readonly<Record<string, Behaviour>> = {
  'what loops is listed once it is announced': async (t, ledger) => {
    const claim = claimOf(await ledger.record(observation('e1', three), rule));
    t.same(await ledger.openLoops(), [], 'nobody has heard of it yet');
    await ledger.confirm(claim);
    await ledger.record(observation('e2', [restart(4, 2)]), rule);

    const loops = await ledger.openLoops();
    t.same(reasons(loops[0]?.crashes ?? []), ['#1 at 0', `#2 at ${ms}`, `#3 at ${2 * ms}`, '#4 at 2']);
    t.match(loops, [
      {
        alertId: claim.alertId,
        loop: 'c/r/default/job.group[0]/task/c/a1',
        openedAtUs: claim.openedAtUs,
        newestUs: start + 2 * minute,
        count: 4,
        lastEvent: '{"of":"e2"}',
        place: { cluster: 'c', namespace: 'default', job: 'job', group: 'group', task: 'task' },
      },
    ]);
    t.same(await ledger.size(), { lineages: 1, openLoops: 1 });
  },

  'a loop without a crash for its interval ends, once, under its id': async (t, ledger) => {
    const { alertId, openedAtUs } = await openLoop(ledger, brief);

    const ends = await whenEnded(ledger, brief);
    t.match(ends, [
      { alertId, openedAtUs, count: 3, intervalMs: 200, lastEvent: '{"of":"e1"}', place: { job: 'job' } },
    ]);
    t.same(await ledger.takeResolved(10), [], 'it is taken');
    t.same(await ledger.openLoops(), []);
    for (const end of [...ends, ...ends]) await ledger.confirmResolved(end);
    t.match(await ledger.size(), { openLoops: 0 });
  },

  'a loop does not end while crashes come': async (t, ledger) => {
    const lasting: Rule = { ...rule, intervalMs: 600 };
    await openLoop(ledger, lasting);
    ledger.clock.pass(350);
    await ledger.record(observation('e2', [restart(4, 500 * ms)]), lasting);
    ledger.clock.pass(350);

    t.same(await ledger.takeResolved(10), []);
    t.equal((await whenEnded(ledger, lasting))[0]?.count, 4);
  },

  'after its end a loop is not announced for what was known, but for a new crash': async (t, ledger) => {
    const { alertId } = await openLoop(ledger, brief);
    await whenEnded(ledger, brief);

    t.equal(shown(await ledger.record(observation('e1', three), brief)), 'none', 'its event again');
    t.equal(shown(await ledger.record(observation('e2', three), brief)), 'none', 'another event with the same crashes');
    const late = await ledger.record(observation('e3', [restart(4, 100 * ms)]), brief);
    t.equal(shown(late), 'opened 4');
    t.not(claimOf(late).alertId, alertId);
  },

  'a gap between crashes ends a loop at once': async (t, ledger) => {
    const { alertId } = await openLoop(ledger);
    t.same(await ledger.takeResolved(10), []);

    await ledger.record(observation('e2', [restart(4, 12)]), rule);

    t.match(await ledger.takeResolved(10), [{ alertId, count: 3, newestUs: start + 2000, intervalMs: 600_000 }]);
  },

  'a loop whose announcement is on the way ends after it': async (t, ledger) => {
    const claim = claimOf(await ledger.record(observation('e1', three), rule));
    await ledger.record(observation('e2', [restart(4, 12)]), rule);
    t.same(await ledger.takeResolved(10), []);

    await ledger.confirm(claim);
    t.match(await ledger.takeResolved(10), [{ alertId: claim.alertId }]);
    await ledger.confirm(claim);
    t.same(await ledger.takeResolved(10), []);
  },

  'a loop that could not be announced is opened by the next claim': async (t, ledger) => {
    await ledger.record(observation('e1', three), rule);

    t.equal(
      shown(
        await ledger.record(observation('e2', [restart(4, 9), restart(5, 9.5), restart(6, 10)]), {
          ...rule,
          notificationIntervalMs: 60_000,
        }),
      ),
      'opened 5',
    );
  },

  'no more ends are given than were asked for': async (t, ledger) => {
    for (const allocation of ['x', 'y', 'z'])
      await ledger.confirm(claimOf(await ledger.record(observation(`e-${allocation}`, three, { allocation }), rule)));
    for (const allocation of ['x', 'y', 'z'])
      await ledger.record(observation(`f-${allocation}`, [restart(4, 12)], { allocation }), rule);

    t.equal((await ledger.takeResolved(2)).length, 2);
    t.equal((await ledger.takeResolved(2)).length, 1);
  },
};
