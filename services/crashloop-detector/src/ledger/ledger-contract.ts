/**
 * What the ledger must do on every state store, as tests. The last of them plays random sequences and compares each
 * answer with that of a ledger in memory.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Test } from 'tap';
import { endedLoops } from './ended-loops-contract.ts';
import { lineages } from './lineages-contract.ts';
import {
  claimOf,
  createPlayedLedger,
  failed,
  minute,
  observation,
  reasonsOf,
  restart,
  rule,
  shown,
  start,
  timed,
  type Behaviour,
  type TimedLedger,
} from './ledger-cases-contract.ts';
import type { Observation } from './ledger.ts';
import { lastingLoops } from './lasting-loops-contract.ts';

export interface LedgerContractOptions {
  readonly name: string;
  /** An empty ledger; what it needs is torn down with the test. */
  create(this: void, t: Test, options?: { readonly maxLineages?: number }): Promise<TimedLedger>;
}

const behaviours: Readonly<Record<string, Behaviour>> = {
  'a loop opens with the crash that makes it one, and only once': async (t, ledger) => {
    const decisions = [];
    for (let number = 1; number <= 5; number += 1)
      decisions.push(await ledger.record(observation(`e${number}`, [restart(number, number)]), rule));

    t.same(decisions.map(shown), ['none', 'none', 'opened 3', 'none', 'none']);
    t.same(decisions[2] && reasonsOf(decisions[2]), ['#1 at 1', '#2 at 2', '#3 at 3']);
    t.match(decisions[2], {
      lastEvent: '{"of":"e3"}',
      recorded: { restarts: 1, hidden: 0, failures: 0, requested: 0, forgotten: 0 },
      claim: {
        alertId: /^[0-9a-f]{32}$/u,
        group: 'c/r/default/job.group[0]/task',
        allocation: 'c/a1',
        eventId: 'e3',
        openedAtUs: start + 3 * minute,
        announcedAtUs: start + 3 * minute,
      },
    });
  },

  'a crash exactly an interval old is outside the window': async (t, ledger) => {
    t.equal(
      shown(await ledger.record(observation('e1', [restart(1, 0), restart(2, 5), restart(3, 10)]), rule)),
      'none',
    );
    t.equal(shown(await ledger.record(observation('e2', [restart(4, 14.99)]), rule)), 'opened 3');
  },

  'a loop that goes on is announced again after the notification interval, under the same id': async (t, ledger) => {
    const opened = claimOf(await ledger.record(observation('e1', [restart(1, 0), restart(2, 1), restart(3, 2)]), rule));
    await ledger.confirm(opened);

    t.equal(shown(await ledger.record(observation('e2', [restart(4, 8), restart(5, 11.9)]), rule)), 'none');
    const ongoing = await ledger.record(observation('e3', [restart(6, 12)]), rule);

    t.equal(shown(ongoing), 'ongoing 3');
    t.equal(claimOf(ongoing).alertId, opened.alertId);
    t.equal(claimOf(ongoing).announcedAtUs, start + 12 * minute);
  },

  'a loop that falls below the count for a while stays the same loop': async (t, ledger) => {
    const opened = claimOf(await ledger.record(observation('e1', [restart(1, 0), restart(2, 1), restart(3, 2)]), rule));
    await ledger.confirm(opened);

    t.equal(shown(await ledger.record(observation('e2', [restart(4, 11.5)]), rule)), 'none');
    t.equal(
      claimOf(await ledger.record(observation('e3', [restart(5, 12), restart(6, 12.5)]), rule)).alertId,
      opened.alertId,
    );
  },

  'an interval without a crash ends a loop, the next is another': async (t, ledger) => {
    const opened = claimOf(
      await ledger.record(observation('e1', [restart(1, 0), restart(2, 1), restart(3, 2)]), {
        ...rule,
        notificationIntervalMs: 3_600_000,
      }),
    );
    await ledger.confirm(opened);

    const again = await ledger.record(observation('e2', [restart(4, 12), restart(5, 13), restart(6, 14)]), {
      ...rule,
      notificationIntervalMs: 3_600_000,
    });

    t.equal(shown(again), 'opened 3');
    t.not(claimOf(again).alertId, opened.alertId);
  },

  'a claim stays with its event until it is confirmed': async (t, ledger) => {
    const event = observation('e1', [restart(1, 0), restart(2, 1), restart(3, 2)]);
    const claim = claimOf(await ledger.record(event, rule));

    t.equal(
      shown(await ledger.record(observation('e2', [restart(3, 2)]), rule)),
      'none',
      'another event with the same crash',
    );
    t.same(claimOf(await ledger.record(event, rule)), claim, 'the event again');
    await ledger.confirm(claim);
    await ledger.confirm(claim);
    t.equal(shown(await ledger.record(event, rule)), 'none', 'the event after the confirmation');
  },

  'a loop whose newest crash is an interval old is late': async (t, ledger) => {
    const event = observation('e1', [restart(1, 0), restart(2, 1), restart(3, 2)], {
      modifiedAtUs: start + 12 * minute,
    });

    t.equal(shown(await ledger.record(event, rule)), 'late');
    t.equal(shown(await ledger.record(event, rule)), 'none', 'once');
    t.equal(shown(await ledger.record(observation('e2', [restart(4, 3)]), rule)), 'opened 4');
  },

  'seeing crashes twice, late or out of order changes nothing': async (t, ledger) => {
    await ledger.record(observation('e3', [restart(3, 3)]), { ...rule, count: 9 });
    await ledger.record(observation('e1', [restart(1, 1), restart(2, 2)]), { ...rule, count: 9 });
    await ledger.record(observation('e3', [restart(3, 3)]), { ...rule, count: 9 });

    const decision = await ledger.record(observation('e4', [restart(2, 2), restart(3, 3), restart(4, 4)]), rule);
    t.same(reasonsOf(decision), ['#1 at 1', '#2 at 2', '#3 at 3', '#4 at 4']);
    t.same(decision.verdicts, ['known', 'known', 'counted']);
  },

  'requested restarts are never counted': async (t, ledger) => {
    const decision = await ledger.record(
      observation(
        'e1',
        [1, 2, 3, 4].map((number) => restart(number, number, 'requested')),
        { lastEvent: null },
      ),
      rule,
    );

    t.match(decision, { action: 'none', recorded: { restarts: 0, requested: 4 } });
    t.match(await ledger.record(observation('e2', [restart(4, 4, 'requested'), restart(5, 5)]), rule), {
      action: 'none',
      recorded: { restarts: 1, requested: 0 },
    });
  },

  'restarts between what was known and what is visible are counted like the nearest': async (t, ledger) => {
    t.match(
      await ledger.record(observation('e1', [restart(40, 1)]), { ...rule, count: 9 }),
      { recorded: { restarts: 1, hidden: 0 } },
      'first sight proves only what is visible',
    );

    t.match(await ledger.record(observation('e2', [restart(45, 3), restart(46, 4)]), { ...rule, count: 9 }), {
      recorded: { restarts: 2, hidden: 4 },
    });
    const seventh = await ledger.record(observation('e3', [restart(42, 2)]), { ...rule, count: 7 });
    t.match(seventh, { recorded: { restarts: 0, hidden: 0 } });
    t.same(
      reasonsOf(seventh),
      ['#40 at 1', '#42 at 2', '#45 at 3', '#45 at 3', '#45 at 3', '#45 at 3', '#46 at 4'],
      'one seen later takes its own time',
    );
    t.match(
      await ledger.record(observation('e4', [restart(37, 0)]), { ...rule, count: 99 }),
      { recorded: { restarts: 1, hidden: 2 } },
      'also below',
    );
    t.match(
      await ledger.record(observation('e5', [restart(43, 3, 'requested')], { lastEvent: null }), {
        ...rule,
        notificationIntervalMs: 0,
      }),
      { count: 9 },
      'one that proves to be requested is taken out',
    );
  },

  'a failure is a crash of its own': async (t, ledger) => {
    const decision = await ledger.record(
      observation('e1', [restart(1, 1), restart(2, 2)], { timed: [timed(3, 'failed', true)] }),
      rule,
    );

    t.same([shown(decision), reasonsOf(decision)], ['opened 3', ['#1 at 1', '#2 at 2', 'failed']]);
    t.match(decision.recorded, { restarts: 2, failures: 1 });
  },

  'of a very fast loop the newest crashes are kept': async (t, ledger) => {
    await ledger.record(observation('e1', [restart(1, 0)]), { ...rule, count: 2 });

    t.match(await ledger.record(observation('e2', [restart(5000, 1)]), { ...rule, count: 2 }), {
      count: 1000,
      recorded: { restarts: 1, hidden: 1000 },
    });
  },
};

export function ledgerContract(t: Test, { name, create }: LedgerContractOptions): void {
  for (const [behaviour, holds] of Object.entries({ ...behaviours, ...endedLoops, ...lastingLoops, ...lineages })) {
    t.test(`${name}: ${behaviour}`, async (t) => {
      await holds(t, await create(t));
    });
  }
  t.test(`${name}: of more lineages than it may know it forgets those without news`, async (t) => {
    await forgetsOldest(t, await create(t, { maxLineages: 3 }));
  });
  for (const seed of [1, 2, 3, 4, 5]) {
    t.test(`${name}: decides as in memory, sequence ${seed}`, async (t) => {
      await decidesAsInMemory(t, await create(t), seed);
    });
  }
}

async function decidesAsInMemory(t: Test, ledger: TimedLedger, seed: number): Promise<void> {
  const oracle = createPlayedLedger();
  const random = makeRandom(seed);
  const history: Observation[] = [];
  const kinds = new Set<string>();
  let timedSeen = 0;
  let endsSeen = 0;

  for (let step = 0; step < 300; step += 1) {
    const seen = history.length > 0 && random(4) === 0 ? history[random(history.length)] : undefined;
    const next = seen ?? randomObservation(random, step);
    history.push(next);
    const expected = await oracle.record(next, rule);
    const actual = await ledger.record(next, rule);
    if (!isDeepStrictEqual(actual, expected)) {
      t.same({ step, next, decision: actual }, { step, next, decision: expected });
      return;
    }
    timedSeen += next.timed.length;
    kinds.add(shown(actual).replace(/ .*/, ''));
    if (actual.action === 'announce' && random(3) > 0) {
      await oracle.confirm(actual.claim);
      await ledger.confirm(actual.claim);
    }
    if (step % 50 === 49) {
      const ends = await oracle.takeResolved(100);
      endsSeen += ends.length;
      t.same(inOrder(await ledger.takeResolved(100)), inOrder(ends), `ends after step ${step}`);
    }
  }
  t.ok(endsSeen > 0, 'loops ended');
  t.ok(timedSeen > 30, 'crashes were told by their moment');
  t.same([...kinds].sort(), ['late', 'none', 'ongoing', 'opened'], 'the sequence met every kind of decision');
}

function inOrder<T extends { readonly token: string }>(ends: readonly T[]): T[] {
  return [...ends].sort((a, b) => (a.token < b.token ? -1 : 1));
}

async function forgetsOldest(t: Test, ledger: TimedLedger): Promise<void> {
  for (const id of ['a', 'b', 'c']) await ledger.record(failed(id, 1), rule);
  t.match(await ledger.record(failed('d', 2), rule), { recorded: { failures: 1, forgotten: 1 } });

  t.match(await ledger.record(failed('b', 1), rule), { recorded: { failures: 0, forgotten: 0 } }, 'is still known');
  t.match(await ledger.record(failed('a', 1), rule), { recorded: { failures: 1, forgotten: 1 } }, 'is not');
  t.same(await ledger.size(), { lineages: 3, openLoops: 0 });
}

/** Numbers from 0 below `limit`, the same for the same seed. */
function makeRandom(seed: number): (limit: number) => number {
  let state = (seed * 2_654_435_761) % 4_294_967_296;
  return (limit) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 4_294_967_296) * limit);
  };
}

/**
 * A few allocations in two lineages over some hours, seen a little out of order, with holes, failures and requested
 * restarts; one of five as nomad-firehose tells it.
 */
function randomObservation(random: (limit: number) => number, step: number): Observation {
  const id = random(6);
  const at = step / 2 + random(5);
  if (random(5) === 0) return toldByMoment(random, step, { id, at });
  const first = Math.max(1, Math.floor(step / 6) + random(6) - 3);
  const restarts = Array.from({ length: random(4) }, (_, index) => ({
    ...restart(first + index, at + index / 4, (first + index) % 7 === 0 ? 'requested' : 'crash'),
  }));
  const failures = random(5) === 0 || restarts.length === 0 ? [timed(at + 1, `failed at ${at}`, true)] : [];
  const parent = id > 1 && random(2) === 0 ? [{ child: `c/a${id}`, parent: `c/a${id - 2}` }] : [];
  const counts = failures.length > 0 || restarts.some(({ kind }) => kind === 'crash');
  return observation(`e${step}`, restarts, {
    allocation: `c/a${id}`,
    timed: failures,
    links: parent,
    lastEvent: counts ? `{"step":${step}}` : null,
    modifiedAtUs: start + Math.round((at + random(14)) * minute),
    status: randomStatus(random, at),
  });
}

function randomStatus(random: (limit: number) => number, at: number): Observation['status'] {
  const state = (['running', 'waiting', 'failed', 'done', 'stopped', 'replaced'] as const)[random(40)];
  return state === undefined ? null : { state, sinceUs: start + Math.round(at * minute) };
}

/** Crashes whose numbers are not known, some of them told a second time. */
function toldByMoment(
  random: (limit: number) => number,
  step: number,
  { id, at }: { readonly id: number; readonly at: number },
): Observation {
  const crashes = Array.from({ length: 1 + random(2) }, (_, index) =>
    timed(at - index + 0.1, `at ${at - index}`, random(4) === 0),
  );
  return observation(`e${step}`, [], {
    allocation: `c/a${id}`,
    timed: crashes,
    lastEvent: `{"step":${step}}`,
    modifiedAtUs: start + Math.round((at + 0.1 + random(14)) * minute),
  });
}
