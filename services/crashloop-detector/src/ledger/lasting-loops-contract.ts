/** The part of the ledger's contract about what keeps a loop open, and when a crash is too old to be announced. */
import {
  claimOf,
  createPlayedLedger,
  failed,
  minute,
  observation,
  reasons,
  replaced,
  restart,
  rule,
  shown,
  start,
  timed,
  type Behaviour,
  type TimedLedger,
} from './ledger-cases-contract.ts';
import type { Claim, Observation } from './ledger.ts';

const three = [restart(1, 0), restart(2, 0.1), restart(3, 0.2)];

/** What became of a task, `at` minutes after the start. */
function status(
  state: NonNullable<Observation['status']>['state'],
  at: number,
  changes: Partial<Observation> = {},
): Observation {
  return observation(`s-${at}`, [], {
    status: { state, sinceUs: start + at * minute },
    modifiedAtUs: start + at * minute,
    ...changes,
  });
}

async function open(ledger: TimedLedger, changes: Partial<Observation> = {}): Promise<Claim> {
  const claim = claimOf(
    await ledger.record(observation('e1', three, { status: { state: 'failed', sinceUs: start }, ...changes }), rule),
  );
  await ledger.confirm(claim);
  return claim;
}

export const lastingLoops: Readonly<Record<string, Behaviour>> = {
  'a loop does not end while its allocation has failed, and not in its replacement until that has run': async (
    t,
    ledger,
  ) => {
    const { alertId } = await open(ledger);
    ledger.clock.pass(3_600_000);
    t.same(await ledger.takeResolved(10), [], 'it waits for its reschedule');

    const next = { allocation: 'c/a2', links: [replaced('c/a2', 'c/a1')] };
    await ledger.record(status('waiting', 61, next), rule);
    await ledger.record(status('running', 62, next), rule);
    ledger.clock.pass(599_000);
    t.same(await ledger.takeResolved(10), []);
    ledger.clock.pass(1001);
    t.match(await ledger.takeResolved(10), [{ alertId, reason: 'ran' }]);
  },

  'a crash after a long wait goes on with the loop, and is announced': async (t, ledger) => {
    const { alertId } = await open(ledger);
    const again = await ledger.record(
      failed('c/a2', 60, [replaced('c/a2', 'c/a1')], { status: { state: 'failed', sinceUs: start + 60 * minute } }),
      rule,
    );

    t.match([shown(again), claimOf(again).alertId], ['ongoing 1', alertId]);
    t.same(await ledger.takeResolved(10), []);
    t.match(await ledger.openLoops(), [{ alertId, count: 1 }]);
  },

  'a task that ran for the interval before it crashed has ended its loop': async (t, ledger) => {
    const { alertId } = await open(ledger);
    await ledger.record(
      observation('e2', [{ ...restart(4, 30), ranUs: 10 * minute }], {
        status: { state: 'waiting', sinceUs: start + 30 * minute },
      }),
      rule,
    );

    t.match(await ledger.takeResolved(10), [{ alertId, count: 3, reason: 'ran' }]);
  },

  'a loop whose job was stopped ends at once': async (t, ledger) => {
    const { alertId } = await open(ledger);
    await ledger.record(status('stopped', 1), rule);

    t.match(await ledger.takeResolved(10), [{ alertId, reason: 'stopped' }]);
  },

  'news of a replaced allocation keeps nothing open': async (t, ledger) => {
    const { alertId } = await open(ledger);
    const next = { allocation: 'c/a2', links: [replaced('c/a2', 'c/a1')] };
    await ledger.record(status('running', 1, next), rule);
    await ledger.record(status('failed', 2), rule);
    await ledger.record(status('replaced', 3), rule);

    ledger.clock.pass(600_001);
    t.match(await ledger.takeResolved(10), [{ alertId, reason: 'ran' }]);
  },

  'late news of a status changes nothing': async (t, ledger) => {
    await open(ledger, { modifiedAtUs: start + 2 * minute });
    await ledger.record(status('running', 1), rule);
    await ledger.record(status('stopped', 1), rule);
    ledger.clock.pass(3_600_000);

    t.same(await ledger.takeResolved(10), []);
  },

  'a loop of which nothing is heard for a day ends, and is known to be silent': async (t, ledger) => {
    const { alertId } = await open(ledger);
    ledger.clock.pass(24 * 3_600_000 + 1);

    t.match(await ledger.takeResolved(10), [{ alertId, reason: 'silent' }]);
  },

  'a status alone makes no lineage': async (t, ledger) => {
    for (const state of ['running', 'failed', 'stopped'] as const)
      await ledger.record(
        status(state, 1, { allocation: `c/${state}`, links: [replaced(`c/${state}`, 'c/other')] }),
        rule,
      );
    await ledger.record(status('running', 1, { followLineage: false }), rule);

    t.same(await ledger.size(), { lineages: 0, openLoops: 0 });
  },

  'an allocation without a parent goes on where a dead one of its name ended': async (t, ledger) => {
    const dead = (id: string, at: number, node = 'n'): Promise<unknown> =>
      ledger.record(
        failed(id, at, [], {
          node,
          firstSeenUs: start + (at - 0.5) * minute,
          status: { state: 'failed', sinceUs: start + at * minute },
        }),
        rule,
      );
    await dead('c/a1', 1);
    await dead('c/a2', 2);
    t.match(await dead('c/a3', 3, 'other'), { action: 'announce', count: 3 });
    t.match(await ledger.size(), { lineages: 1 });

    await ledger.record(
      failed('c/b1', 3.1, [], {
        firstSeenUs: start + minute,
        status: { state: 'failed', sinceUs: start + 3.1 * minute },
      }),
      rule,
    );
    t.match(await ledger.size(), { lineages: 2 }, 'one that lived beside it does not');
  },

  'an allocation that fails again and again counts each time': async (t, ledger) => {
    t.equal(
      shown(await ledger.record(observation('e1', [], { timed: [timed(1, 'one', true)], lastEvent: '{}' }), rule)),
      'none',
    );
    t.equal(
      shown(
        await ledger.record(
          observation('e2', [], { timed: [timed(1, 'one', true), timed(2, 'two', true)], lastEvent: '{}' }),
          rule,
        ),
      ),
      'none',
    );
    t.equal(
      shown(
        await ledger.record(
          observation('e3', [], { timed: [timed(2, 'two', true), timed(3, 'three', true)], lastEvent: '{}' }),
          rule,
        ),
      ),
      'opened 3',
    );
  },

  'a loop is too late by the clock of now': async (t, ledger) => {
    ledger.clock.reach(start + 20 * minute);
    t.equal(shown(await ledger.record(observation('e1', three), rule)), 'late');
    t.equal(shown(await ledger.record(observation('e2', [restart(4, 11)]), rule)), 'none');
    t.equal(
      shown(await ledger.record(observation('e3', [restart(5, 12), restart(6, 13)]), rule)),
      'opened 3',
      'one that still goes is not',
    );
  },

  'a backlog of many intervals makes one announcement': async (t, ledger) => {
    const quick = { ...rule, notificationIntervalMs: 60_000 };
    ledger.clock.reach(start + 10 * minute);
    const decisions = [];
    for (let at = 1; at <= 9; at += 1) {
      const decision = await ledger.record(observation(`e${at}`, [restart(at, at)]), quick);
      decisions.push(shown(decision));
      if (decision.action === 'announce') await ledger.confirm(decision.claim);
    }

    t.same(
      decisions.filter((one) => one !== 'none'),
      ['opened 3'],
    );
    ledger.clock.pass(60_000);
    t.equal(shown(await ledger.record(observation('e11', [restart(10, 11)]), quick)), 'ongoing 9');
  },

  'a crash on a node whose clock is behind is fresh when its event is': async (t, ledger) => {
    const behind = 60;
    const event = (number: number): Observation =>
      observation(`e${number}`, [restart(number, number - behind)], { modifiedAtUs: start + number * minute });
    t.match(await ledger.record(event(1), rule), { action: 'none', clockBehindUs: 0 });
    t.match(await ledger.record(event(2), rule), { action: 'none', clockBehindUs: behind * minute });
    t.match(await ledger.record(event(3), rule), {
      action: 'announce',
      status: 'opened',
      count: 3,
      clockBehindUs: behind * minute,
    });

    const placed = observation(
      'e',
      three.map((crash) => ({ ...crash, timeUs: crash.timeUs - behind * minute })),
      { allocation: 'c/b', createdAtUs: start, modifiedAtUs: start + 3 * minute },
    );
    t.match(
      await ledger.record(placed, rule),
      { action: 'announce', count: 3 },
      'it cannot have crashed before it was made',
    );
  },

  'what is kept of a loop is the same whether its crashes are read or not': async (t) => {
    const [one, other] = [createPlayedLedger(), createPlayedLedger()];
    for (let number = 1; number <= 40; number += 1) {
      await one.record(observation(`e${number}`, [restart(number, number / 2)]), rule);
      // The second sees each crash twice, the older first.
      await other.record(
        observation(
          `e${number}`,
          number === 1 ? [restart(1, 0.5)] : [restart(number - 1, (number - 1) / 2), restart(number, number / 2)],
        ),
        rule,
      );
    }
    t.same(await one.loops(), await other.loops());
    t.equal((await one.loops())[0]?.crashes.length, 20);
    t.same(reasons([]), []);
  },
};
