/** The part of the ledger's contract about what is counted together, and about what tells restarts apart. */
import {
  claimOf,
  failed,
  observation,
  reasonsOf,
  replaced,
  restart,
  rule,
  shown,
  timed,
  type Behaviour,
} from './ledger-cases-contract.ts';

const many = { ...rule, count: 99 };

export const lineages: Readonly<Record<string, Behaviour>> = {
  'crashes of replaced allocations add up, whichever end of the link is seen': async (t, ledger) => {
    await ledger.record(failed('a1', 1), rule);
    await ledger.record(failed('a2', 2, [replaced('a2', 'a1'), replaced('a3', 'a2')]), rule);
    const decision = await ledger.record(failed('a3', 3), rule);

    t.match([shown(decision), reasonsOf(decision)], ['opened 3', ['a1', 'a2', 'a3']]);
    t.equal(shown(await ledger.record(failed('b1', 3), rule)), 'none', 'another lineage of that name');
  },

  'a parent that becomes known late joins two lineages into one': async (t, ledger) => {
    await ledger.record(failed('a1', 1), rule);
    await ledger.record(failed('a3', 3), rule);
    t.match(await ledger.size(), { lineages: 2 });

    const decision = await ledger.record(failed('a2', 2, [replaced('a2', 'a1'), replaced('a3', 'a2')]), rule);
    t.equal(shown(decision), 'none', 'the last link is known, and nothing of a3 was asked for');
    const again = await ledger.record(failed('a3', 3), rule);
    t.same([shown(again), reasonsOf(again), again.recorded.failures], ['opened 3', ['a1', 'a2', 'a3'], 0]);
    t.match(await ledger.size(), { lineages: 1 });
  },

  'numbers stay known when lineages join': async (t, ledger) => {
    await ledger.record(observation('e1', [restart(1, 1), restart(2, 2)], { allocation: 'a2' }), many);
    await ledger.record(
      observation('e2', [restart(2, 2), restart(5, 5)].slice(1), { allocation: 'a2', links: [replaced('a2', 'a1')] }),
      many,
    );

    t.match(await ledger.record(observation('e3', [restart(4, 4), restart(5, 5)], { allocation: 'a2' }), rule), {
      recorded: { restarts: 0, hidden: 0 },
      count: 5,
    });
  },

  'the alert of a loop that joins another goes on under its id': async (t, ledger) => {
    const opened = claimOf(
      await ledger.record(observation('e1', [restart(1, 1), restart(2, 2), restart(3, 3)], { allocation: 'a2' }), rule),
    );
    await ledger.record(failed('a1', 4), rule);

    const links = [replaced('a2', 'a1')];
    t.equal(shown(await ledger.record(observation('e2', [restart(4, 5)], { allocation: 'a2', links }), rule)), 'none');
    await ledger.confirm(opened);
    t.match(await ledger.openLoops(), [{ alertId: opened.alertId, count: 5 }], 'it was confirmed after it moved');
    t.match(
      await ledger.record(observation('e3', [restart(5, 13)], { allocation: 'a2', links }), {
        ...rule,
        intervalMs: 1_200_000,
      }),
      {
        status: 'ongoing',
        claim: { alertId: opened.alertId },
        count: 6,
      },
    );
  },

  'of two alerts that turn out to be of one loop the older stays': async (t, ledger) => {
    const claims = [];
    for (const [allocation, at] of [
      ['a1', 2],
      ['a2', 1],
    ] as const) {
      const claim = claimOf(
        await ledger.record(
          observation(`e-${allocation}`, [restart(1, at), restart(2, at + 1), restart(3, at + 2)], { allocation }),
          rule,
        ),
      );
      await ledger.confirm(claim);
      claims.push(claim);
    }

    await ledger.record(observation('e2', [restart(4, 5)], { allocation: 'a2', links: [replaced('a2', 'a1')] }), rule);

    t.match(await ledger.openLoops(), [{ alertId: claims[1]?.alertId, count: 7 }]);
    t.match(await ledger.takeResolved(10), [{ alertId: claims[0]?.alertId, count: 3 }]);
  },

  'the tasks of a lineage are joined each on its own': async (t, ledger) => {
    const links = [replaced('a2', 'a1'), replaced('a1', 'a0')];
    const other = { group: 'c/r/default/job.group[0]/other', task: 'other' };
    await ledger.record(failed('a2', 1, [], other), rule);
    await ledger.record(failed('a1', 2, [], other), rule);
    await ledger.record(failed('a2', 2, links), rule);

    t.match(await ledger.record(failed('a0', 3, [], other), many), { recorded: { failures: 1 } });
    await ledger.record(failed('a1', 2, [], other), many);
    t.same(reasonsOf(await ledger.record(failed('a2', 1, [], other), rule)), ['a2', 'a1', 'a0']);
  },

  'links in a circle end': async (t, ledger) => {
    const links = [replaced('a1', 'a2'), replaced('a2', 'a1'), replaced('a3', 'a3')];

    t.equal(shown(await ledger.record(observation('e1', [restart(1, 1)], { allocation: 'a1', links }), rule)), 'none');
    t.equal(shown(await ledger.record(observation('e2', [restart(1, 1)], { allocation: 'a2', links }), rule)), 'none');
  },

  'a counter that went down while time went on begins anew': async (t, ledger) => {
    await ledger.record(observation('e1', [restart(7, 1), restart(8, 2)]), many);

    t.match(await ledger.record(observation('e2', [restart(1, 3), restart(2, 4)]), many), {
      recorded: { restarts: 2, hidden: 0 },
    });
    t.match(
      await ledger.record(observation('e3', [restart(4, 5)]), many),
      { recorded: { restarts: 1, hidden: 1 } },
      'numbers of the new epoch are accounted for',
    );
    t.match(
      await ledger.record(observation('e4', [restart(6, 0.5), restart(7, 1)]), many),
      { recorded: { restarts: 1, hidden: 0 } },
      'an event from before it, late',
    );
    t.match(
      await ledger.record(observation('e5', [restart(1, 3), restart(2, 4)]), rule),
      { count: 7, recorded: { restarts: 0, hidden: 0 } },
      'an event of it, again',
    );
  },

  'crashes without a number are told apart by their time': async (t, ledger) => {
    await ledger.record(observation('e1', [], { timed: [timed(1, 'one')], lastEvent: '{}' }), rule);
    await ledger.record(observation('e1', [], { timed: [timed(1, 'one')], lastEvent: '{}' }), rule);
    await ledger.record(observation('e2', [], { timed: [timed(2, 'two')], lastEvent: '{}' }), rule);

    const decision = await ledger.record(observation('e3', [], { timed: [timed(3, 'three')], lastEvent: '{}' }), rule);
    t.same([shown(decision), reasonsOf(decision)], ['opened 3', ['one', 'two', 'three']]);
  },
};
